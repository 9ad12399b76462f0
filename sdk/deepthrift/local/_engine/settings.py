"""What an engine is told, checked at once; and what can be known to be wrong before a process is started."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from deepthrift._types.errors import ConfigurationError, EngineStartFailed, ModelFileError
from deepthrift.local import models
from deepthrift.local._engine import machine as _machine
from deepthrift.local._engine import memory as _memory
from deepthrift.local._engine.templates import is_template_text, template_text
from deepthrift.local._models.gguf import GGUFHeader, read_header
from deepthrift.local._models.registry import looks_like_path
from deepthrift.local._process.child import Child
from deepthrift.local._process.start import LOOPBACK, EngineProgress, Stage, check_port

EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - only with a key of the user's
_DEFAULT_CONTEXT: Final = 4096
_CACHE_MIB: Final = 256
_ERRORS_ONLY: Final = 1  # warnings quote requests that are not understood, prompts and all
_LAN_KEY: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """The arguments of an `Engine` that describe what runs; see there.

    Raises:
        ConfigurationError: One of them is wrong.
    """

    model: str | Path | None = None
    download: bool = True
    context: int | None = None
    slots: int = 1
    threads: int = 1
    template: str | Path | None = None
    embeddings: bool = False
    lan: bool = False
    port: int = 0
    key: str | None = None
    grace: float = 2.0
    start_timeout: float | None = None
    check_memory: bool = True
    idle_shutdown: float | None = None
    restarts: int = 3

    def __post_init__(self) -> None:
        _at_least("context", self.context, 16)
        _at_least("slots", self.slots, 1)
        _at_least("threads", self.threads, 1)
        _at_least("restarts", self.restarts, 0)
        if not 0 <= self.port <= 65535:
            raise ConfigurationError(f"port must be 0 (any free one) to 65535, not {self.port}.")
        key = self.key
        if key is not None and (len(key) < 8 or not key.isascii() or not key.isprintable() or "," in key or " " in key):
            raise ConfigurationError("key must be 8 or more printable ASCII characters without blanks and commas.")
        if self.lan and (key is None or len(key) < _LAN_KEY):
            raise ConfigurationError(
                f"lan=True opens the engine to the network, so it needs a key= of {_LAN_KEY} or more characters."
            )
        if self.idle_shutdown is not None and not self.idle_shutdown > 0:
            raise ConfigurationError(f"idle_shutdown is a positive number of seconds, not {self.idle_shutdown!r}.")

    @property
    def host(self) -> str:
        """The address to listen on."""
        return EVERYWHERE if self.lan else LOOPBACK

    def located(self) -> EngineSettings:
        """The same with files that are the same seen from any folder."""
        model, template = self.model, self.template
        if model is not None and (isinstance(model, Path) or looks_like_path(model)):
            model = Path(model).expanduser().absolute()
        if template is not None and not is_template_text(template):
            template = Path(template).absolute()
        return replace(self, model=model, template=template)

    def as_json(self) -> dict[str, object]:
        """The same as JSON types."""
        values = asdict(self)
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is about to run."""

    header: GGUFHeader
    name: str
    """The model's name in requests."""
    context: int
    """Tokens of context of each slot."""


class Reporter:
    """Tells how far a start is."""

    def __init__(self, told: Callable[[EngineProgress], None] | None) -> None:
        self._told = told
        self._began = time.monotonic()
        self.abandoned = threading.Event()
        """Set when nobody waits for the start any more: a download gives up and cleans up after itself."""

    def __call__(self, stage: Stage, done: int = 0, total: int = 0) -> None:
        if self._told is not None:
            self._told(EngineProgress(stage, time.monotonic() - self._began, done, total))


def prepare(settings: EngineSettings, report: Reporter) -> Plan:
    """Everything that can be known to be wrong before a process is started. Takes a while: to be run in a thread.

    Raises:
        EngineError: The machine, the model or its file is not fit.
        ConfigurationError: A setting does not fit the model.
    """
    _machine.check_machine()
    found = models.resolve(settings.model)
    if isinstance(found, models.ModelInfo):
        name, path = found.name, _fetched(found, settings, report)
    else:
        name, path = found.stem, found
    report("checking")
    header = read_header(path)
    limit = header.context_length
    if settings.context is not None and limit is not None and settings.context > limit:
        raise ConfigurationError(
            f"context={settings.context:,} is more than the {limit:,} tokens that {header.name!r} was made for."
        )
    return Plan(header, name, settings.context or usual_context(limit))


def usual_context(limit: int | None) -> int:
    """Tokens of context that each slot has if nobody says otherwise; `limit` is what the model was made for."""
    return min(_DEFAULT_CONTEXT, limit or _DEFAULT_CONTEXT)


def _fetched(known: models.ModelInfo, settings: EngineSettings, report: Reporter) -> Path:
    if not settings.download:
        return models.path_of(known.name)
    with contextlib.suppress(ModelFileError):  # not here, or damaged: then it is fetched
        return models.path_of(known.name)

    def told(progress: models.PullProgress) -> None:
        if report.abandoned.is_set():
            raise _DownloadCancelled
        if progress.stage != "ready":
            report("downloading", progress.done, progress.total)

    return models.pull(known.name, told)


def spawn(
    settings: EngineSettings, plan: Plan, *, key: str, last_port: int, sink: Callable[[str], None] | None
) -> Child:
    """Start the process.

    Args:
        settings: What the user said.
        plan: What runs.
        key: The key that it will ask for.
        last_port: The port that it had before, to be had again if it is free; 0 for none.
        sink: Called with each line of its log.

    Raises:
        EngineStartFailed: The fixed port is taken, or the system refused to start a process.
    """
    port = settings.port or last_port
    if port:
        try:
            check_port(port, settings.host)
        except EngineStartFailed:
            if settings.port:
                raise
            port = 0
    tokens = plan.context * settings.slots
    return Child(
        {
            "model": str(plan.header.path.absolute()),
            "alias": plan.name,
            "context": plan.context,
            "slots": settings.slots,
            "threads": settings.threads,
            "host": settings.host,
            "port": port,
            "template": template_text(plan.header, settings.template),
            "embeddings": settings.embeddings,
            "pooling_mean": f"{plan.header.architecture}.pooling_type" not in plan.header.metadata,
            "cache_mib": _CACHE_MIB,
            "verbosity": _ERRORS_ONLY,
            "grace": max(0.0, settings.grace),
            "memory_needed": _memory.needed_bytes(plan.header, tokens) if settings.check_memory else None,
            "memory_available": _memory.available_bytes() if settings.check_memory else None,
        },
        key=key,
        sink=sink,
    )


class _DownloadCancelled(Exception):
    """Nobody waits for the download any more."""


def _at_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise ConfigurationError(f"{name} must be {least} or more, not {value}.")
