"""The embedded engine: a model served by a child of this process, on this machine only."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from deepthrift.errors import ConfigurationError, EngineCrashed, EngineStartFailed, ModelFileError
from deepthrift.hosts import HostProfile
from deepthrift.local import _machine, models
from deepthrift.local._child import Child
from deepthrift.local._gguf import GGUFHeader, read_header
from deepthrift.local._profile import profile_for
from deepthrift.local._start import (
    LOOPBACK,
    EngineProgress,
    Stage,
    check_port,
    crash_of,
    pauses,
    processors,
    until_ready,
)
from deepthrift.local._templates import Family, family_of, template_text

_DEFAULT_CONTEXT: Final = 4096
_CACHE_MIB: Final = 256
_ERRORS_ONLY: Final = 1  # warnings quote requests that are not understood, prompts and all


class Engine:
    """A language model on this machine: `async with Engine() as engine: …`.

    llama.cpp's own server runs in a child process on a loopback port of its own, with a key of its own. It ends
    with the `async with` block, and also when this process ends in any way, `kill -9` included.

    Args:
        model: A name from `models.list_models()`, or the path of a `.gguf` file; by default `models.DEFAULT`.
        download: Whether a known model that is not on this machine yet is fetched at the first start.
        context: Tokens of context for each slot; by default 4,096, or the model's own limit if that is less.
        slots: Requests answered at the same time.
        threads: Processor threads; by default one less than there are: faster on a machine that does other things.
        template: A chat template of your own, as a path or as Jinja text; by default the right one for the model.
        port: A fixed port, or 0 for any free one.
        key: A fixed API key; by default a new random one.
        grace: Seconds that running answers get to finish when the engine is closed.
        start_timeout: Seconds until a start counts as failed; by default a minute and what a slow disk needs.
        on_progress: Called with the progress of the start, now and then from another thread.
        log: Called with each line of the engine's log, from another thread. The log holds no prompts and no key.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        download: bool = True,
        context: int | None = None,
        slots: int = 1,
        threads: int | None = None,
        template: str | Path | None = None,
        port: int = 0,
        key: str | None = None,
        grace: float = 2.0,
        start_timeout: float | None = None,
        on_progress: Callable[[EngineProgress], None] | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        _at_least("context", context, 16)
        _at_least("slots", slots, 1)
        _at_least("threads", threads, 1)
        if not 0 <= port <= 65535:
            raise ConfigurationError(f"port must be 0 (any free one) to 65535, not {port}.")
        if key is not None and (len(key) < 8 or not key.isascii() or not key.isprintable() or "," in key or " " in key):
            raise ConfigurationError("key must be 8 or more printable ASCII characters without blanks and commas.")
        self._wanted = model
        self._download = download
        self._wanted_context = context
        self._slots = slots
        self._threads = threads or max(1, processors() - 1)
        self._template = template
        self._port = port
        self._fixed_key = key
        self._grace = max(0.0, grace)
        self._start_timeout = start_timeout
        self._on_progress = on_progress
        self._sink = log
        self._key = ""
        self._url = ""
        self._context = 0
        self._model = ""
        self._header: GGUFHeader | None = None
        self._child: Child | None = None
        self._starting = False
        self._closing = False

    def __repr__(self) -> str:
        state = f"url={self._url!r}, pid={self.pid}" if self._url else "not running"
        return f"Engine(model={str(self._wanted or 'default')!r}, {state})"

    def __del__(self) -> None:
        child = getattr(self, "_child", None)  # absent if the arguments were wrong
        if child is not None:
            with contextlib.suppress(Exception):  # the interpreter may be on its way out
                child.kill()
                warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)

    async def __aenter__(self) -> Self:
        """Start the engine and wait until it answers.

        Raises:
            MissingExtra: The `local` extra is not installed.
            UnsupportedMachine: The processor or a system library lacks something.
            ModelFileError: The model file is missing, cut short, damaged or not a chat model.
            DownloadError: The model could not be fetched.
            EngineStartFailed: It did not come up; the message ends with its log.
            ConfigurationError: It is running already, or an argument does not fit the model.
        """
        if self._child is not None or self._starting:
            raise ConfigurationError("This engine is running already: use it, or make another one.")
        self._starting = True
        self._closing = False
        try:
            self._child = await self._start(time.monotonic())
        finally:
            self._starting = False
        return self

    async def _start(self, began: float) -> Child:
        abandoned = threading.Event()
        try:
            header = await asyncio.to_thread(self._prepare, began, abandoned)
        except asyncio.CancelledError:
            abandoned.set()  # a download in that thread gives up and cleans up after itself
            raise
        child = self._spawn(header)
        try:
            for pause in until_ready(
                child,
                size=header.size,
                timeout=self._start_timeout,
                report=lambda stage, done, total: self._report(stage, began, done, total),
            ):
                await asyncio.sleep(pause)
                if self._closing:
                    raise EngineStartFailed("The engine was closed while it started.")
            self._url = (child.event or {})["url"].rstrip("/")
        except BaseException:
            child.kill()
            raise
        return child

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop the engine; running answers get the grace period. Safe to call twice; if cancelled, it stops at once."""
        child, self._child = self._child, None
        self._closing = True
        if child is None:
            return
        try:
            child.ask_to_stop()
            for pause in pauses(lambda: child.poll() is not None, self._grace + 1.0):
                await asyncio.sleep(pause)
        finally:
            self._url = ""
            child.kill()

    @property
    def url(self) -> str:
        """Where the engine answers, without a trailing slash; the OpenAI-compatible part is under `/v1`."""
        self._running("url")
        return self._url

    @property
    def key(self) -> str:
        """The API key, to be sent as a bearer token."""
        self._running("key")
        return self._key

    @property
    def model(self) -> str:
        """The name to ask for in requests."""
        self.header  # noqa: B018 - raises if there is no model yet
        return self._model

    @property
    def profile(self) -> HostProfile:
        """How the client speaks to this model: its modes, its way of thinking, how its prompts are counted."""
        self._running("profile")
        return profile_for(self.header, model=self._model, url=self._url, context=self._context)

    @property
    def pid(self) -> int | None:
        """The process id of the engine, or `None` when it does not run."""
        return self._child.pid if self._child is not None else None

    @property
    def context(self) -> int:
        """Tokens of context that each request has."""
        self._running("context")
        return self._context

    @property
    def slots(self) -> int:
        """Requests answered at the same time."""
        return self._slots

    @property
    def header(self) -> GGUFHeader:
        """What the model file says about itself."""
        if self._header is None:
            raise ConfigurationError("The engine has not been started: use it in `async with`.")
        return self._header

    @property
    def family(self) -> Family:
        """Which family the model belongs to; it decides the template and how thinking is switched."""
        return family_of(self.header)

    def log_tail(self) -> str:
        """The last lines of the engine's log, at most 20."""
        return self._child.log.tail() if self._child is not None else ""

    async def crash(self, *, within: float = 0.5) -> EngineCrashed | None:
        """What to raise if the engine has died, or `None` if it lives or was closed on purpose.

        Args:
            within: Seconds to wait for the death to show: a lost connection comes a moment before it.
        """
        for pause in pauses(lambda: self._closing or self._crash_now() is not None, within):
            await asyncio.sleep(pause)
        return self._crash_now()

    async def wait(self) -> None:
        """Wait until the engine is closed.

        Raises:
            EngineCrashed: It died; the message ends with its log.
        """
        self._running("end")
        while not self._closing:
            report = self._crash_now()
            if report is not None:
                raise report
            await asyncio.sleep(0.2)

    def _crash_now(self) -> EngineCrashed | None:
        child = self._child
        if child is None or self._closing:
            return None
        code = child.poll()
        return None if code is None else crash_of(code, child)

    def _running(self, what: str) -> None:
        if self._child is None:
            raise ConfigurationError(f"The engine does not run, so it has no {what}: use it in `async with`.")

    def _report(self, stage: Stage, began: float, done: int = 0, total: int = 0) -> None:
        if self._on_progress is not None:
            self._on_progress(EngineProgress(stage, time.monotonic() - began, done, total))

    def _prepare(self, began: float, abandoned: threading.Event) -> GGUFHeader:
        """Everything that can be known to be wrong before a process is started. Runs in a thread of its own."""
        _machine.check_machine()
        found = models.resolve(self._wanted)
        if isinstance(found, models.ModelInfo):
            self._model = found.name
            path = self._fetched(found, began, abandoned)
        else:
            self._model = found.stem
            path = found
        self._report("checking", began)
        header = read_header(path)
        limit = header.context_length
        if self._wanted_context is not None and limit is not None and self._wanted_context > limit:
            raise ConfigurationError(
                f"context={self._wanted_context:,} is more than the {limit:,} tokens that {header.name!r} was made for."
            )
        self._context = self._wanted_context or min(_DEFAULT_CONTEXT, limit or _DEFAULT_CONTEXT)
        if self._port:
            check_port(self._port)
        self._header = header
        return header

    def _fetched(self, known: models.ModelInfo, began: float, abandoned: threading.Event) -> Path:
        if not self._download:
            return models.path_of(known.name)
        with contextlib.suppress(ModelFileError):  # not here, or damaged: then it is fetched
            return models.path_of(known.name)

        def report(progress: models.PullProgress) -> None:
            if abandoned.is_set():
                raise _Abandoned
            if progress.stage != "ready":
                self._report("downloading", began, progress.done, progress.total)

        return models.pull(known.name, report)

    def _spawn(self, header: GGUFHeader) -> Child:
        self._key = self._fixed_key or secrets.token_urlsafe(32)
        settings: dict[str, object] = {
            "model": str(header.path.absolute()),
            "alias": self._model,
            "context": self._context,
            "slots": self._slots,
            "threads": self._threads,
            "host": LOOPBACK,
            "port": self._port,
            "template": template_text(header, self._template),
            "cache_mib": _CACHE_MIB,
            "verbosity": _ERRORS_ONLY,
            "grace": self._grace,
        }
        return Child(settings, key=self._key, sink=self._sink)


class _Abandoned(Exception):
    """Nobody waits for the download any more."""


def _at_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise ConfigurationError(f"{name} must be {least} or more, not {value}.")
