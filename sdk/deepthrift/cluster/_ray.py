"""Rows on the machines of a Ray cluster. The files, and what is known of each row, stay with the process that began."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self, cast

from deepthrift._types.errors import ClusterUnavailable, MissingExtra, WorkerLost
from deepthrift._types.reply import Reply
from deepthrift._util.threads import in_thread
from deepthrift.batch._row import BatchRow
from deepthrift.cluster._remote_worker import PackedError, RowWorker, WorkerSpec

ANY_CLUSTER: Final = "ray"
"""In place of an address: the cluster that Ray finds, else one of this machine alone."""
_SECONDS_TO_START: Final = 120.0
_SECONDS_TO_CLOSE: Final = 15.0


class _Method(Protocol):
    def remote(self, *arguments: object) -> Awaitable[object]: ...


class _Actor(Protocol):
    open: _Method
    ask: _Method
    close: _Method


class _ActorClass(Protocol):
    def options(self, **options: object) -> _ActorClass: ...

    def remote(self, *arguments: object) -> _Actor: ...


class _Ray(Protocol):
    """The part of Ray that is used here; Ray itself is typed only in part."""

    def init(self, address: str | None = None, **options: object) -> object: ...

    def is_initialized(self) -> bool: ...

    def shutdown(self) -> None: ...

    def nodes(self) -> Sequence[Mapping[str, object]]: ...

    def remote(self, kind: type[object]) -> _ActorClass: ...

    def kill(self, actor: _Actor) -> None: ...

    def cancel(self, ref: Awaitable[object]) -> None: ...


class _Affinity(Protocol):
    def __call__(self, node_id: str, *, soft: bool) -> object: ...


def load_ray() -> _Ray:
    """Ray, which tells nobody that it is used unless its own settings say so.

    Raises:
        MissingExtra: It is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        return cast("_Ray", importlib.import_module("ray"))
    except ImportError:
        raise MissingExtra("a batch on Ray needs an extra: pip install 'deepthrift[ray]'") from None


@dataclass(slots=True, eq=False)
class _Worker:
    actor: _Actor
    node: str
    rows: int = 0


class RayWorkers:
    """A worker on each node of a cluster, in `async with`; `ask` gives a row to the one that has least to do.

    Args:
        address: `ray://host:port`, the `host:port` of a cluster that this machine is part of, or `ray`.
        spec: How the workers make their clients.
        concurrency: Rows under way at once, in all workers together.
    """

    def __init__(self, address: str, spec: WorkerSpec, *, concurrency: int) -> None:
        self._address = address
        self._spec = spec
        self._concurrency = concurrency
        self._workers: list[_Worker] = []
        self._own = False

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes whose workers take rows."""
        return tuple(worker.node for worker in self._workers)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def start(self) -> None:
        """Connect to the cluster and start the workers.

        Raises:
            ClusterUnavailable: It cannot be reached, or no worker started.
            ConfigurationError: A worker has another version, or lacks a variable that holds a secret.
        """
        self._ray = load_ray()
        errors = importlib.import_module("ray.exceptions")
        self._failed = cast("type[Exception]", errors.RayError)
        self._bug = cast("type[Exception]", errors.RayTaskError)
        try:
            await self._connect()
            await self._start()
        except BaseException:
            await self.aclose()
            raise

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _connect(self) -> None:
        if self._ray.is_initialized():
            return

        def connect() -> None:
            address = None if self._address == ANY_CLUSTER else self._address
            self._ray.init(address, logging_level=logging.ERROR, log_to_driver=False)

        try:
            await in_thread(connect, {})
        except Exception as error:  # it raises a dozen kinds
            raise ClusterUnavailable(f"the Ray cluster {self._address!r} cannot be reached: {_brief(error)}") from error
        self._own = True

    async def _start(self) -> None:
        affinity = cast(
            "_Affinity", importlib.import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
        )
        made = self._ray.remote(RowWorker)
        nodes = await in_thread(self._ray.nodes, {})
        for node in nodes:
            resources = cast("Mapping[str, float]", node.get("Resources") or {})
            if not node.get("Alive") or not resources.get("CPU"):
                continue  # gone, or kept free of work
            name = str(node["NodeID"])
            # Nothing is ever done again by Ray itself: what may be paid twice is not its to decide.
            options: dict[str, object] = {"num_cpus": 0, "max_restarts": 0, "max_task_retries": 0}
            placed = made.options(
                **options, max_concurrency=self._concurrency + 2, scheduling_strategy=affinity(name, soft=False)
            )
            self._workers.append(_Worker(placed.remote(self._spec), str(node.get("NodeManagerHostname") or name)))
        if not self._workers:
            raise ClusterUnavailable(f"the Ray cluster {self._address!r} has no node with a CPU for a worker")
        opened = await asyncio.gather(*(self._open(worker) for worker in self._workers), return_exceptions=True)
        wrong = [each for each in opened if isinstance(each, BaseException)]
        if any(not isinstance(each, WorkerLost) for each in wrong) or not self._workers:
            raise next((each for each in wrong if not isinstance(each, WorkerLost)), wrong[0])

    async def _open(self, worker: _Worker) -> None:
        try:
            async with asyncio.timeout(_SECONDS_TO_START):
                told = await _result(worker.actor.open.remote())
        except (self._failed, TimeoutError) as error:
            self._workers.remove(worker)
            raise WorkerLost(f"the worker on {worker.node!r} did not start: {_brief(error)}") from error
        if isinstance(told, PackedError):
            raise told.error()

    async def ask(self, row: BatchRow) -> Reply:
        """One complete answer.

        Raises:
            WorkerLost: The worker died with the row: it may be billed.
            ClusterUnavailable: No worker is left; nothing was sent.
        """
        if not self._workers:
            raise ClusterUnavailable(
                "no worker of the Ray cluster is left; run it again when it has some, and it goes on"
            )
        worker = min(self._workers, key=lambda each: each.rows)
        worker.rows += 1
        reference = worker.actor.ask.remote(row)
        try:
            told = await _result(reference)
        except asyncio.CancelledError:
            with contextlib.suppress(self._failed, ValueError):
                self._ray.cancel(reference)  # the worker books what had come
            raise
        except self._bug:
            raise
        except self._failed as error:
            if worker in self._workers:
                self._workers.remove(worker)
            raise WorkerLost(
                f"the worker on {worker.node!r} was lost with this row: {_brief(error)}. It may be billed"
            ) from None
        finally:
            worker.rows -= 1
        if isinstance(told, PackedError):
            raise told.error()
        return cast("Reply", told)

    async def aclose(self) -> None:
        """Let the workers book and close, and leave the cluster."""
        workers, self._workers = self._workers, []
        try:
            await asyncio.gather(*(self._close(worker) for worker in workers))
        finally:
            if self._own:
                self._own = False
                await in_thread(self._ray.shutdown, {})

    async def _close(self, worker: _Worker) -> None:
        with contextlib.suppress(self._failed, TimeoutError):
            async with asyncio.timeout(_SECONDS_TO_CLOSE):
                await _result(worker.actor.close.remote())
        with contextlib.suppress(self._failed, ValueError):
            self._ray.kill(worker.actor)


async def _result(reference: Awaitable[object]) -> object:
    return await reference


def _brief(error: BaseException) -> str:
    """The first line of what Ray says, which goes on for pages; the last one, too, where that has the reason."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    reason = f" {lines[-1].strip()}" if lines[0].endswith(":") and len(lines) > 1 else ""
    return f"{lines[0]}{reason}"[:300]
