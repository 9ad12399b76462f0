"""The embedded engine: a model served by a child of this process, or of a keeper that several processes share."""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from deepthrift._types.errors import ConfigurationError, EngineCrashed
from deepthrift.hosts import HostProfile
from deepthrift.local._engine.profile import profile_for
from deepthrift.local._engine.settings import EngineSettings
from deepthrift.local._engine.templates import Family, family_of
from deepthrift.local._models.gguf import GGUFHeader
from deepthrift.local._process.health import EngineHealth, EngineStatus, busy_slots
from deepthrift.local._process.logfile import LogFile
from deepthrift.local._process.own import OwnEngine
from deepthrift.local._process.runner import Runner, Running
from deepthrift.local._process.start import EngineProgress, processors, resident_bytes

if TYPE_CHECKING:
    from deepthrift.local._engine.transport import EngineTransport


class Engine:
    """A language model on this machine: `async with Engine() as engine: …`.

    llama.cpp's own server runs in a child process on a loopback port of its own, with a key of its own. It ends
    with the `async with` block, and also when this process ends in any way, `kill -9` included. When it dies, the
    next call of a client starts it again.

    Args:
        model: A name from `models.list_models()`, or the path of a `.gguf` file; by default `models.DEFAULT`.
        download: Whether a known model that is not on this machine yet is fetched at the first start.
        context: Tokens of context for each slot; by default 4,096, or the model's own limit if that is less.
        slots: Requests answered at the same time.
        threads: Processor threads; by default one less than there are: faster on a machine that does other things.
        template: A chat template of your own, as a path or as Jinja text; by default the right one for the model.
        embeddings: Whether it also turns texts into vectors, for `client.embed`.
        share: Whether processes that ask for the same engine share one, which ends with the last of them: `True`, or
            a name, which must then mean the same settings everywhere. Linux and macOS.
        lan: Whether it answers the whole network instead of this machine only; needs `key`. The connection is not
            encrypted.
        port: A fixed port, or 0 for any free one.
        key: A fixed API key; by default a new random one.
        grace: Seconds that running answers get to finish when the engine is closed.
        start_timeout: Seconds until a start counts as failed; by default a minute and what a slow disk needs.
        check_memory: Whether a model that needs more memory than is free is refused before it is loaded.
        idle_shutdown: Seconds without a request after which the engine is stopped, to be started again by the next
            call; left out, it keeps running.
        restarts: How often within 5 minutes it is started again when it has died.
        on_progress: Called with the progress of each start, now and then from another thread.
        on_crash: Called with the report of each death, once, when it is noticed. Deaths are also logged as warnings
            of the logger `deepthrift.engine`.
        log: Called with each line of the engine's log, from another thread; or a file to keep it in, private and never
            larger than 1 MB, with the one before as `NAME.1`. The log holds no prompts and no key.

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
        embeddings: bool = False,
        share: bool | str = False,
        lan: bool = False,
        port: int = 0,
        key: str | None = None,
        grace: float = 2.0,
        start_timeout: float | None = None,
        check_memory: bool = True,
        idle_shutdown: float | None = None,
        restarts: int = 3,
        on_progress: Callable[[EngineProgress], None] | None = None,
        on_crash: Callable[[EngineCrashed], None] | None = None,
        log: Callable[[str], None] | str | Path | None = None,
    ) -> None:
        self._settings = EngineSettings(
            model=model,
            download=download,
            context=context,
            slots=slots,
            threads=max(1, processors() - 1) if threads is None else threads,
            template=template,
            embeddings=embeddings,
            lan=lan,
            port=port,
            key=key,
            grace=grace,
            start_timeout=start_timeout,
            check_memory=check_memory,
            idle_shutdown=idle_shutdown,
            restarts=restarts,
        )
        self._running: Running | None = None
        sink = LogFile(Path(log)) if isinstance(log, str | Path) else log
        self._runner: Runner
        if share is False:
            self._runner = OwnEngine(self._settings, on_progress=on_progress, on_crash=on_crash, sink=sink)
        else:
            from deepthrift.local._shared.engine import SharedEngine

            self._runner = SharedEngine(self._settings, share, on_progress=on_progress, on_crash=on_crash, log=log)

    def __repr__(self) -> str:
        last = self._runner.last if self._runner.open else None
        state = f"url={last.url!r}, pid={self.pid}" if last is not None else "not running"
        return f"Engine(model={str(self._settings.model or 'default')!r}, {state})"

    def __del__(self) -> None:
        runner = getattr(self, "_runner", None)  # absent if the arguments were wrong
        if runner is not None and runner.open:
            with contextlib.suppress(Exception):  # the interpreter may be on its way out
                told = f"unclosed {self!r}"
                runner.kill()
                warnings.warn(told, ResourceWarning, source=self, stacklevel=2)

    async def __aenter__(self) -> Self:
        """Start the engine and wait until it answers.

        Raises:
            MissingExtra: The `local` extra is not installed.
            UnsupportedMachine: The processor or a system library lacks something.
            ModelFileError: The model file is missing, cut short, damaged or not a chat model.
            DownloadError: The model could not be fetched.
            NotEnoughMemory: The model does not fit into the memory that is free.
            EngineStartFailed: It did not come up; the message ends with its log.
            ConfigurationError: It is running already, or an argument does not fit the model.
        """
        self._running = await self._runner.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop the engine; running answers get the grace period. Safe to call twice; if cancelled, it stops at once.

        A shared engine goes on as long as others use it.
        """
        await self._runner.aclose()

    @property
    def url(self) -> str:
        """Where the engine answers, without a trailing slash; the OpenAI-compatible part is under `/v1`.

        It is the same after a restart, unless its port was taken meanwhile.
        """
        return self._open("url").url

    @property
    def key(self) -> str:
        """The API key, to be sent as a bearer token."""
        return self._open("key").key

    @property
    def model(self) -> str:
        """The name to ask for in requests."""
        return self._started.plan.name

    @property
    def profile(self) -> HostProfile:
        """How the client speaks to this model: its modes, its way of thinking, how its prompts are counted."""
        running = self._open("profile")
        plan = running.plan
        return profile_for(
            plan.header, model=plan.name, url=running.url, context=plan.context, embeddings=self._settings.embeddings
        )

    @property
    def running(self) -> bool:
        """Whether it has been started and not closed, asleep or not."""
        return self._runner.open

    @property
    def pid(self) -> int | None:
        """The process id of the engine, or `None` when it does not run."""
        return self._runner.pid

    @property
    def context(self) -> int:
        """Tokens of context that each request has."""
        return self._open("context").plan.context

    @property
    def slots(self) -> int:
        """Requests answered at the same time."""
        return self._settings.slots

    @property
    def header(self) -> GGUFHeader:
        """What the model file says about itself."""
        return self._started.plan.header

    @property
    def family(self) -> Family:
        """Which family the model belongs to; it decides the template and how thinking is switched."""
        return family_of(self.header)

    def log_tail(self) -> str:
        """The last lines of the engine's log, at most 20."""
        return self._runner.log_tail()

    async def health(self) -> EngineHealth:
        """How the engine is now. Takes up to 2 seconds if it does not answer, and starts nothing."""
        running = self._open("health")
        pid, crash = self.pid, await self.crash(within=0)
        busy = await asyncio.to_thread(busy_slots, running.url, running.key) if pid and crash is None else None
        status: EngineStatus = "ready" if busy is not None else "unresponsive"
        if crash is not None or not pid:
            status = "crashed" if crash is not None else "asleep"
        return EngineHealth(
            status=status,
            pid=pid if crash is None else None,
            slots=self.slots,
            busy=busy or 0,
            crashes=self._runner.crashes,
            memory=resident_bytes(pid) or None if pid and crash is None else None,
        )

    async def crash(self, *, within: float = 0.5) -> EngineCrashed | None:
        """What to raise if the engine has died, or `None` if it lives or was closed on purpose.

        Args:
            within: Seconds to wait for the death to show: a lost connection comes a moment before it.
        """
        return await self._runner.crash(None, within)

    async def wait(self) -> None:
        """Wait until the engine is closed; start it again when it dies.

        Raises:
            EngineKeepsCrashing: It died too often; the message ends with its log.
        """
        self._open("end")
        while self._runner.open:
            if await self._runner.crash(None, 0) is not None and self._runner.open:
                await self._runner.begin()
                self._runner.end()
            await asyncio.sleep(0.2)

    def transport(self) -> EngineTransport:
        """The transport of a client to this engine, which starts it again where it sleeps or has died."""
        from deepthrift.local._engine.transport import EngineTransport

        return EngineTransport(self._runner, self.url)

    @property
    def _started(self) -> Running:
        running = self._runner.last or self._running
        if running is None:
            raise ConfigurationError("The engine has not been started: use it in `async with`.")
        return running

    def _open(self, what: str) -> Running:
        running = self._runner.last
        if running is None or not self._runner.open:
            raise ConfigurationError(f"The engine does not run, so it has no {what}: use it in `async with`.")
        return running
