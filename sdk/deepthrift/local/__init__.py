"""The embedded engine: a real model on this machine, with no service to install. Needs `deepthrift[local]`."""

from deepthrift.local import models
from deepthrift.local._engine.engine import Engine
from deepthrift.local._engine.machine import check_machine
from deepthrift.local._engine.measure import Throughput, measure
from deepthrift.local._engine.templates import Family
from deepthrift.local._models.gguf import GGUFHeader, read_header
from deepthrift.local._process.foreground import serve
from deepthrift.local._process.health import EngineHealth
from deepthrift.local._process.start import EngineProgress
from deepthrift.local.models import ModelInfo, PullProgress

__all__ = [
    "Engine",
    "EngineHealth",
    "EngineProgress",
    "Family",
    "GGUFHeader",
    "ModelInfo",
    "PullProgress",
    "Throughput",
    "check_machine",
    "measure",
    "models",
    "read_header",
    "serve",
]
