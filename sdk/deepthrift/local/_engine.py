"""The embedded engine: a model served by a child of this process, on this machine only."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

from deepthrift.errors import ConfigurationError, EngineCrashed, EngineStartFailed, UnsupportedMachine
from deepthrift.local import _machine
from deepthrift.local._child import Child
from deepthrift.local._gguf import GGUFHeader, read_header
from deepthrift.local._templates import Family, family_of, template_text

Stage: TypeAlias = Literal["downloading", "checking", "loading", "ready"]

_DEFAULT_CONTEXT: Final = 4096
_CACHE_MIB: Final = 256
_ERRORS_AND_WARNINGS: Final = 2
_POLL_SECONDS: Final = 0.02
_LOOPBACK: Final = "127.0.0.1"
# A cold start reads the weights from disk: allow for a slow one.
_START_SECONDS: Final = 60.0
_SLOWEST_DISK: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class EngineProgress:
    """How far the start of an engine is.

    Attributes:
        stage: What is being done now.
        seconds: Since the start.
        done: Bytes fetched or resident so far, 0 where that is not known.
        total: Bytes altogether, 0 where that is not known.
    """

    stage: Stage
    seconds: float
    done: int = 0
    total: int = 0


class Engine:
    """A language model on this machine: `async with Engine() as engine: …`.

    llama.cpp's own server runs in a child process on a loopback port of its own, with a key of its own. It ends
    with the `async with` block, and also when this process ends in any way, `kill -9` included.

    Args:
        model: A name from `models.list_models()`, or the path of a `.gguf` file; by default `models.DEFAULT`.
        context: Tokens of context for each slot; by default 4,096, or the model's own limit if that is less.
        slots: Requests answered at the same time.
        threads: Processor threads; by default one less than there are: faster on a machine that does other things.
        template: A chat template of your own, as a path or as Jinja text; by default the right one for the model.
        port: A fixed port, or 0 for any free one.
        key: A fixed API key; by default a new random one.
        grace: Seconds that running answers get to finish when the engine is closed.
        start_timeout: Seconds until a start counts as failed; by default a minute and what a slow disk needs.
        on_progress: Called with the progress of the start, from this thread.
        log: Called with each line of the engine's log, from another thread. The log holds no prompts and no key.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
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
        self._wanted_context = context
        self._slots = slots
        self._threads = threads or max(1, _processors() - 1)
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
        self._header: GGUFHeader | None = None
        self._child: Child | None = None
        self._closing = False

    def __repr__(self) -> str:
        state = f"url={self._url!r}, pid={self.pid}" if self._url else "not running"
        return f"Engine(model={str(self._wanted or 'default')!r}, {state})"

    async def __aenter__(self) -> Self:
        """Start the engine and wait until it answers.

        Raises:
            MissingExtra: The `local` extra is not installed.
            UnsupportedMachine: The processor or a system library lacks something.
            ModelFileError: The model file is missing, cut short, damaged or not a chat model.
            EngineStartFailed: It did not come up; the message ends with its log.
            ConfigurationError: It is running already, or an argument does not fit the model.
        """
        if self._child is not None:
            raise ConfigurationError("This engine is running already: use it, or make another one.")
        self._closing = False
        began = time.monotonic()
        header = await asyncio.to_thread(self._prepare, began)
        child = self._spawn(header)
        try:
            for pause in self._until_ready(child, header, began):
                await asyncio.sleep(pause)
        except BaseException:
            child.kill()
            raise
        self._child = child
        return self

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
            for pause in _pauses(lambda: child.poll() is not None, self._grace + 1.0):
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
        return _alias(self.header)

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
        for pause in _pauses(lambda: self._closing or self._crash_now() is not None, within):
            await asyncio.sleep(pause)
        return self._crash_now()

    async def wait(self) -> None:
        """Wait until the engine is closed.

        Raises:
            EngineCrashed: It died; the message ends with its log.
        """
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
        if code is None:
            return None
        child.drain()
        return EngineCrashed(
            f"The engine died {_machine.describe_exit(code)}. Start it again{_memory_hint(code)}.{_log_of(child)}"
        )

    def _running(self, what: str) -> None:
        if self._child is None:
            raise ConfigurationError(f"The engine does not run, so it has no {what}: use it in `async with`.")

    def _report(self, stage: Stage, began: float, done: int = 0, total: int = 0) -> None:
        if self._on_progress is not None:
            self._on_progress(EngineProgress(stage, time.monotonic() - began, done, total))

    def _prepare(self, began: float) -> GGUFHeader:
        """Everything that can be known to be wrong before a process is started."""
        _machine.check_machine()
        self._report("checking", began)
        header = read_header(self._path())
        limit = header.context_length
        if self._wanted_context is not None and limit is not None and self._wanted_context > limit:
            raise ConfigurationError(
                f"context={self._wanted_context:,} is more than the {limit:,} tokens that {header.name!r} was made for."
            )
        self._context = self._wanted_context or min(_DEFAULT_CONTEXT, limit or _DEFAULT_CONTEXT)
        if self._port:
            _check_port(self._port)
        self._header = header
        return header

    def _path(self) -> Path:
        if self._wanted is None:
            raise ConfigurationError("Give the path of a .gguf file.")
        return Path(self._wanted).expanduser()

    def _spawn(self, header: GGUFHeader) -> Child:
        self._key = self._fixed_key or secrets.token_urlsafe(32)
        settings: dict[str, object] = {
            "model": str(header.path.absolute()),
            "alias": _alias(header),
            "context": self._context,
            "slots": self._slots,
            "threads": self._threads,
            "host": _LOOPBACK,
            "port": self._port,
            "template": template_text(header, self._template),
            "cache_mib": _CACHE_MIB,
            "verbosity": _ERRORS_AND_WARNINGS,
            "grace": self._grace,
        }
        return Child(settings, key=self._key, sink=self._sink)

    def _until_ready(self, child: Child, header: GGUFHeader, began: float) -> Iterator[float]:
        """Yield the pauses to make until the child answers; raise if it does not come up."""
        allowed = self._start_timeout or _START_SECONDS + header.size / _SLOWEST_DISK
        reported = 0.0
        while True:
            event = child.event
            if event is not None:
                self._take(event, child)
                self._report("ready", began, header.size, header.size)
                return
            code = child.poll()
            if code is not None:
                child.drain()
                if child.event is None:
                    raise _died_at_start(code, child)
                continue
            now = time.monotonic()
            if now - began > allowed:
                raise EngineStartFailed(
                    f"The engine was not ready after {allowed:,.0f} seconds: give it more with start_timeout=, "
                    f"or take a smaller model.{_log_of(child)}"
                )
            if now - reported >= 0.1:
                reported = now
                self._report("loading", began, min(_resident_bytes(child.pid), header.size), header.size)
            yield _POLL_SECONDS

    def _take(self, event: dict[str, str], child: Child) -> None:
        kind = event.get("event")
        if kind == "ready":
            self._url = event["url"].rstrip("/")
            return
        child.kill()
        if kind == "import":
            raise _machine.import_failure(event.get("error", ""))
        raise EngineStartFailed(
            f"The engine could not load the model ({event.get('error', 'no reason given')}): it may not know this "
            f"architecture, or memory is short.{_log_of(child)}"
        )


def _pauses(done: Callable[[], bool], seconds: float) -> Iterator[float]:
    """Yield short pauses until `done`, or until the time is up."""
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        yield _POLL_SECONDS


def _at_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise ConfigurationError(f"{name} must be {least} or more, not {value}.")


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_port(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError as error:
            raise EngineStartFailed(
                f"Port {port} on {_LOOPBACK} cannot be used ({error.strerror}): choose another, or 0 for any free one."
            ) from None


def _alias(header: GGUFHeader) -> str:
    return header.path.stem


def _resident_bytes(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0


def _log_of(child: Child) -> str:
    tail = child.log.tail()
    return f"\nThe end of its log:\n{tail}" if tail else ""


def _memory_hint(code: int) -> str:
    return ", with a smaller model or context if memory ran out" if code == -9 else ""


def _died_at_start(code: int, child: Child) -> EngineStartFailed | UnsupportedMachine:
    if _machine.is_illegal_instruction(code):
        return UnsupportedMachine(
            f"The engine died {_machine.describe_exit(code)}. Use a machine with AVX2 (x86 since 2013), "
            "or point the client at an endpoint elsewhere."
        )
    return EngineStartFailed(f"The engine died while it started, {_machine.describe_exit(code)}.{_log_of(child)}")
