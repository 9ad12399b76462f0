"""The embedded engine: a real model on this machine, with no service to install. Needs `deepthrift[local]`."""

from deepthrift.local import models
from deepthrift.local._engine import Engine
from deepthrift.local._foreground import serve
from deepthrift.local._gguf import GGUFHeader, read_header
from deepthrift.local._health import EngineHealth
from deepthrift.local._machine import check_machine
from deepthrift.local._measure import Throughput, measure
from deepthrift.local._start import EngineProgress
from deepthrift.local._templates import Family
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
