"""What workers on other machines are told, what they tell, and what is made of one that dies."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from deepthrift import errors
from deepthrift._call.endpoints.settings import Settings
from deepthrift.batch import BatchResult, BatchRow
from deepthrift.batch._result import output_line
from deepthrift.batch._row import check_row
from deepthrift.cluster._ray import RayWorkers
from deepthrift.cluster._remote_worker import PackedError, RowWorker, WorkerSpec
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Budget, Money, PriceBook
from tests.sdk.batch.fake_ray import FakeCluster, cluster
from tests.support.bill_server import Answer, BillServer, Failure

__all__ = ["cluster"]  # the fixture

KEY = "sk-very-secret-key"
SETTINGS = Settings(
    timeout=60.0,
    idle_timeout=60.0,
    deadline=None,
    max_retries=0,
    retry_unanswered=False,
    budget_wait=None,
    on_mode_mismatch="warn",
    tags={},
    extra_body={},
)
ROW = BatchRow(custom_id="a", messages="Capital of France?", max_tokens=32, line=1)


@pytest.fixture
def server() -> Iterator[BillServer]:
    with BillServer(Answer("Paris."), key=KEY) as bill:
        yield bill


def spec(server: BillServer, **changes: Any) -> WorkerSpec:
    given: dict[str, Any] = {
        "url": server.url,
        "profile": HostProfile.named("deepseek"),
        "model": "deepseek-chat",
        "key_variable": "THE_KEY",
        "ledger": "memory:",
        "prices": PriceBook.named("official-2025-09-05"),
        "budgets": (Budget("1", per="day"),),
        "settings": SETTINGS,
    }
    return WorkerSpec(**{**given, **changes})


async def test_a_worker_reads_its_key_from_its_own_environment(
    server: BillServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = pickle.dumps(spec(server))
    assert KEY.encode() not in told
    worker = RowWorker(pickle.loads(told))
    missing = await worker.open()
    assert missing is not None
    assert isinstance(missing.error(), errors.ConfigurationError)
    assert "THE_KEY, which holds the key, is not set on the worker" in str(missing.error())
    monkeypatch.setenv("THE_KEY", KEY)
    assert await worker.open() is None
    reply = pickle.loads(pickle.dumps(await worker.ask(ROW)))
    await worker.close()
    assert reply.text == "Paris."
    assert reply.cost.total.amount == server.bill.total
    assert reply.raw is None


async def test_a_worker_with_another_version_or_ledger_is_refused(
    server: BillServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    other = await RowWorker(spec(server, version="0.0.1")).open()
    assert other is not None
    assert "install the same everywhere" in str(other.error())
    monkeypatch.setenv("THE_LEDGER", "postgresql://me:secret@elsewhere/db")
    asked = spec(server, ledger="postgresql://me@here/db", ledger_variable="THE_LEDGER")
    other = await RowWorker(asked).open()
    assert other is not None
    assert "one budget needs one ledger" in str(other.error())
    assert "secret" not in str(other.error())


async def test_errors_arrive_as_they_were(server: BillServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    server.script = Failure(422, "no")
    worker = RowWorker(spec(server))
    await worker.open()
    packed = pickle.loads(pickle.dumps(await worker.ask(ROW)))
    await worker.close()
    error = packed.error()
    assert isinstance(error, errors.UnprocessableRequest)
    assert (error.status, len(error.attempt_ids)) == (422, 1)
    line = output_line(BatchResult(row=ROW, error=error))
    assert line["deepthrift"]["outcome"] == "failed"  # type: ignore[index]


@pytest.mark.parametrize("name", [name for name in errors.__all__ if isinstance(getattr(errors, name), type)])
def test_every_error_of_the_tree_can_travel(name: str) -> None:
    kind: Any = getattr(errors, name)
    if not issubclass(kind, errors.DeepthriftError):
        return
    made = kind.__new__(kind, "what happened")
    vars(made).update(message="what happened", attempt_ids=("a",), spend=Money.of("1"), request=None)
    again = pickle.loads(pickle.dumps(PackedError.of(made))).error()
    assert type(again) is kind
    assert (str(again), again.attempt_ids, again.spend) == ("what happened", ("a",), Money.of("1"))


def test_a_row_lost_with_its_worker_may_be_billed() -> None:
    result = BatchResult(row=ROW, error=errors.WorkerLost("gone"))
    assert (result.outcome, result.cost) == ("unanswered", None)
    check_row(ROW, None, HostProfile.named("deepseek"), "deepseek-chat")


@pytest.fixture(autouse=True)
def key(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "cluster" in request.fixturenames:
        monkeypatch.setenv("THE_KEY", KEY)


async def test_rows_go_to_the_worker_with_least_to_do_and_past_a_dead_one(
    server: BillServer, cluster: FakeCluster
) -> None:
    async with RayWorkers("ray", spec(server), concurrency=4) as workers:
        assert workers.nodes == ("n0", "n1")
        await asyncio.gather(*(workers.ask(ROW) for _ in range(4)))
        assert sorted(cluster.asked) == ["n0", "n0", "n1", "n1"]
        cluster.dead.add("n0")
        with pytest.raises(errors.WorkerLost, match=r"'n0' was lost with this row: the actor died\. It may be billed"):
            await workers.ask(ROW)
        assert (await workers.ask(ROW)).text == "Paris."
        cluster.dead.add("n1")
        with pytest.raises(errors.WorkerLost):
            await workers.ask(ROW)
        with pytest.raises(errors.ClusterUnavailable, match="no worker of the Ray cluster is left"):
            await workers.ask(ROW)
    assert cluster.shut
    assert len(server.requests) == 5


async def test_a_cluster_that_is_not_there(server: BillServer, cluster: FakeCluster) -> None:
    with pytest.raises(errors.ClusterUnavailable, match=r"'nowhere:1' cannot be reached: nobody is there$"):
        async with RayWorkers("nowhere:1", spec(server), concurrency=1):
            pass
    with pytest.raises(errors.ClusterUnavailable, match=r"it failed: the disk is full$"):
        async with RayWorkers("broken:1", spec(server), concurrency=1):
            pass
    cluster.count = 0
    with pytest.raises(errors.ClusterUnavailable, match="no node with a CPU"):
        async with RayWorkers("ray", spec(server), concurrency=1):
            pass
    cluster.count = 1
    with pytest.raises(errors.ConfigurationError, match="NOT_SET"):
        async with RayWorkers("ray", spec(server, key_variable="NOT_SET"), concurrency=1):
            pass


async def test_what_is_dropped_is_cancelled_where_it_runs(server: BillServer, cluster: FakeCluster) -> None:
    server.script = Answer(delay=30)
    async with RayWorkers("ray", spec(server), concurrency=1) as workers:
        task = asyncio.create_task(workers.ask(ROW))
        while not server.in_flight:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(server.requests) == 1
