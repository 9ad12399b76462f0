"""As much of Ray as is used, in this process; tests/cli/test_batch_ray.py has a real cluster."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from deepthrift.batch import BatchRow
from deepthrift.cluster._remote_worker import RowWorker, WorkerSpec


class DeadError(Exception):
    """What the pretended cluster raises."""


class BugError(DeadError):
    """What it raises for a mistake in a worker's code."""


class FakeMethod:
    def __init__(self, work: Any) -> None:
        self._work = work

    def remote(self, *arguments: object) -> asyncio.Task[object]:
        return asyncio.ensure_future(self._work(*arguments))


class FakeCluster:
    """As much of Ray as is used, in this process, with nodes that can be killed."""

    def __init__(self, nodes: int) -> None:
        self.count = nodes
        self.dead: set[str] = set()
        self.asked: list[str] = []
        self.on = ""
        self.shut = False

    def put_in_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be what is imported as Ray, installed or not."""
        strategies = {"NodeAffinitySchedulingStrategy": staticmethod(lambda node_id, soft: node_id)}
        modules = {
            "ray": self,
            "ray.exceptions": type("Module", (), {"RayError": DeadError, "RayTaskError": BugError}),
            "ray.util.scheduling_strategies": type("Module", (), strategies),
        }
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)

    def init(self, address: str | None = None, **options: object) -> None:
        if address == "nowhere:1":
            raise ConnectionError("nobody is there\nand pages more")
        if address == "broken:1":
            raise ConnectionError("it failed:\nand pages more\nthe disk is full")

    def is_initialized(self) -> bool:
        return False

    def shutdown(self) -> None:
        self.shut = True

    def nodes(self) -> list[dict[str, object]]:
        head = {"NodeID": "head", "Alive": True, "Resources": {}}
        return [head, *({"NodeID": f"n{n}", "Alive": True, "Resources": {"CPU": 1.0}} for n in range(self.count))]

    def remote(self, kind: object) -> FakeCluster:
        return self

    def options(self, *, scheduling_strategy: str, **options: object) -> Any:
        assert (options["max_restarts"], options["max_task_retries"]) == (0, 0)
        node, cluster = scheduling_strategy, self

        class Maker:
            def remote(self, told: WorkerSpec) -> Any:
                worker = RowWorker(told)

                async def ask(row: BatchRow) -> object:
                    cluster.asked.append(node)
                    if node in cluster.dead:
                        await worker.close()
                        raise DeadError("the actor died\nand pages more")
                    return await worker.ask(row)

                made = type("Actor", (), {})()
                made.open, made.ask, made.close = map(FakeMethod, (worker.open, ask, worker.close))
                return made

        return Maker()

    def kill(self, actor: object) -> None: ...

    def cancel(self, ref: asyncio.Task[object]) -> None:
        ref.cancel()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    made = FakeCluster(2)
    made.put_in_place(monkeypatch)
    return made
