"""Errors of the embedded engine."""

from __future__ import annotations

from typing import Unpack

from deepthrift_pricing.errors import CallDetails, DeepthriftError


class EngineError(DeepthriftError):
    """The embedded engine could not be used."""


class MissingExtra(EngineError, ImportError):
    """An optional part of Deepthrift is not installed; the message has the command that installs it."""


class UnsupportedMachine(EngineError):
    """The processor or a system library lacks something that the engine needs; the message says what mends it."""


class ModelFileError(EngineError):
    """The model file is missing, cut short, damaged or not GGUF."""


class DownloadError(EngineError):
    """A model could not be fetched, or what arrived does not have the pinned hash."""


class EngineStartFailed(EngineError):
    """The engine did not come up; the message ends with the last lines of its log."""


class NotEnoughMemory(EngineStartFailed):
    """The model does not fit into the memory that is free; the message has both figures."""


class EngineCrashed(EngineError):
    """The engine died while in use. What it was answering is lost; the next call starts it again.

    Attributes:
        exit_code: Its exit code, a negative number for the signal that ended it, or `None` if nobody saw it.
        out_of_memory: Whether it ended because memory ran out, or `None` where that cannot be told.
        log: The last lines of its log. They hold no prompts and no key.
    """

    def __init__(
        self,
        message: str,
        *,
        exit_code: int | None = None,
        out_of_memory: bool | None = None,
        log: str = "",
        **details: Unpack[CallDetails],
    ) -> None:
        super().__init__(message, **details)
        self.exit_code = exit_code
        self.out_of_memory = out_of_memory
        self.log = log


class EngineKeepsCrashing(EngineCrashed):
    """The engine died more than 3 times within 5 minutes, and is not started again."""
