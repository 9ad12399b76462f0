"""The embedded engine: a real model on this machine, with no service to install. Needs `deepthrift[local]`."""

from deepthrift.local._engine import Engine, EngineProgress
from deepthrift.local._gguf import GGUFHeader, read_header
from deepthrift.local._templates import Family

__all__ = ["Engine", "EngineProgress", "Family", "GGUFHeader", "read_header"]
