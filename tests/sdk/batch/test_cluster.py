"""Batches of a client whose rows are sent from a cluster: what travels, what is refused, and what comes back."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deepthrift import AsyncClient, CircuitBreaker, Client, Endpoint
from deepthrift.cluster import RayCluster
from deepthrift.cluster._cluster import worker_spec
from deepthrift.errors import ConfigurationError
from deepthrift_pricing import Budget, Ledger
from deepthrift_router import ModeRouter
from tests.sdk.batch.fake_ray import FakeCluster, cluster
from tests.sdk.batch.files import last_lines, row, write_rows
from tests.support.bill_server import Answer, BillServer
from tests.support.databases import postgres_url

__all__ = ["cluster"]  # the fixture

KEY = "sk-very-secret-key"
LIMIT = Budget("1", per="day")


@pytest.fixture
def server() -> Iterator[BillServer]:
    with BillServer(Answer("Paris."), key=KEY) as bill:
        yield bill


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """One that all machines share. The key is in their environment, as it is in this one's."""
    monkeypatch.setenv("THE_KEY", KEY)
    with postgres_url() as url, Ledger.open(url, budgets=[LIMIT]) as opened:
        yield opened


def client(server: BillServer, ledger: Ledger | None, **more: Any) -> AsyncClient:
    given = {"host": "deepseek", "api_key": KEY, "prices": "official-2025-09-05", "ledger": ledger}
    return AsyncClient(server.url, **{**given, **more})


ON = RayCluster("ray", key_variable="THE_KEY")


async def test_rows_of_a_list_are_sent_from_every_node(
    server: BillServer, cluster: FakeCluster, ledger: Ledger
) -> None:
    async with client(server, ledger, tags={"team": "search"}) as asker:
        results = await asker.batch([f"Question {number}?" for number in range(6)], on=ON, concurrency=4)
    assert [result.row.custom_id for result in results] == ["1", "2", "3", "4", "5", "6"]
    assert {result.reply.text for result in results if result.reply is not None} == {"Paris."}
    assert set(cluster.asked) == {"n0", "n1"}
    [spent] = ledger.spend(by=("tag:team",))
    assert (spent.key, spent.attempts) == ({"tag:team": "search"}, 6)
    assert spent.total.amount == server.bill.total


async def test_a_file_begun_on_a_cluster_goes_on_without(
    server: BillServer, cluster: FakeCluster, ledger: Ledger, tmp_path: Path
) -> None:
    source, out = write_rows(tmp_path / "in.jsonl", [row("a"), row("b")]), tmp_path / "out.jsonl"
    ready: list[tuple[str, ...]] = []
    async with client(server, ledger) as asker:
        there = RayCluster("ray", key_variable="THE_KEY", on_workers=ready.append)
        stopped = await asker.batch_file(source, out, on=there, concurrency=1, stop=lambda: len(cluster.asked) > 0)
        assert (stopped.answered, stopped.unsent) == (1, 1)
        assert ready == [("n0", "n1")]
        summary = await asker.batch_file(source, out)
    assert (summary.answered, summary.run_rows, len(cluster.asked)) == (2, 1, 1)
    assert set(last_lines(out)) == {"a", "b"}


def test_the_synchronous_client_and_a_router_on_every_node(
    server: BillServer, cluster: FakeCluster, ledger: Ledger, tmp_path: Path
) -> None:
    source = write_rows(tmp_path / "in.jsonl", [row("a")])
    there = RayCluster("ray", key_variable="THE_KEY", through=ModeRouter)
    with Client(server.url, host="deepseek", api_key=KEY, prices="official-2025-09-05", ledger=ledger) as asker:
        summary = asker.batch_file(source, tmp_path / "out.jsonl", on=there)
        assert summary.answered == 1
        assert "path" in last_lines(tmp_path / "out.jsonl")["a"]["deepthrift"]
        with pytest.raises(ConfigurationError, match=r"RayCluster\(…, through=ModeRouter\)"):
            asker.batch(["x"], on=there, through=ModeRouter(asker))
        [result] = asker.batch(["What is the capital of France?"], on=ON)
        assert result.reply is not None


async def test_what_the_client_was_made_with_travels_and_no_secret_does(
    server: BillServer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", KEY)
    asker = client(
        server, ledger, timeout=7, max_retries=5, tags={"a": "b"}, extra_body={"user": "me"}, deadline=9,
        circuit_breaker=CircuitBreaker(failures=3),
    )  # fmt: skip
    told = pickle.dumps(worker_spec(RayCluster(), asker._session.targets, "thinking"))
    await asker.aclose()
    assert KEY.encode() not in told
    spec = pickle.loads(told)
    assert spec.key_variable == "DEEPSEEK_API_KEY"
    assert (spec.settings.timeout, spec.settings.max_retries, spec.settings.deadline) == (7, 5, 9)
    assert (spec.settings.tags, spec.settings.extra_body) == ({"a": "b"}, {"user": "me"})
    assert (spec.breaker, spec.mode, spec.budgets) == (CircuitBreaker(failures=3), "thinking", (LIMIT,))


async def test_the_password_of_the_ledger_stays_in_the_environment(
    server: BillServer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker = client(server, ledger)
    monkeypatch.setenv("DEEPTHRIFT_LEDGER", ledger.url)
    assert worker_spec(ON, asker._session.targets, None).ledger_variable is None
    monkeypatch.setenv("DEEPTHRIFT_LEDGER", ledger.url.replace("://", "://:secret@", 1))
    monkeypatch.setattr(ledger, "_url", ledger.url.replace("://", "://@", 1))
    spec = worker_spec(ON, asker._session.targets, None)
    await asker.aclose()
    assert (spec.ledger, spec.ledger_variable) == (ledger.url, "DEEPTHRIFT_LEDGER")
    assert b"secret" not in pickle.dumps(spec)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"headers": {"x-team": "search"}}, "headers=… cannot travel"),
        ({"middleware": [lambda request, call_next: call_next(request)]}, "middleware=… cannot travel"),
        ({"transport": httpx.AsyncHTTPTransport()}, "transport=… cannot travel"),
        ({"proxy": "http://proxy:8080", "verify": False}, "proxy=…, verify=… cannot travel"),
        ({"max_concurrency": 4}, "max_concurrency=… cannot travel"),
        ({"api_key": "sk-other"}, "key_variable='…'"),
        ({"ledger": None}, "needs a ledger that all machines share"),
    ],
)
async def test_what_cannot_travel_is_refused_before_anything_starts(
    server: BillServer, cluster: FakeCluster, ledger: Ledger, tmp_path: Path, more: dict[str, Any], told: str
) -> None:
    on = "ray" if "api_key" in more else ON
    async with client(server, **{"ledger": ledger, **more}) as asker:
        with pytest.raises(ConfigurationError, match=told):
            await asker.batch(["x"], on=on)
    assert not server.requests
    assert not cluster.asked


async def test_several_endpoints_and_the_embedded_engine_stay_here(server: BillServer, ledger: Ledger) -> None:
    two = [Endpoint(server.url, host="deepseek"), Endpoint("http://127.0.0.1:9/v1", host="deepseek")]
    async with AsyncClient(endpoints=two, ledger=ledger) as asker:
        with pytest.raises(ConfigurationError, match="endpoints=… cannot travel"):
            await asker.batch(["x"], on="ray")


@pytest.mark.parametrize("make", [lambda: RayCluster("spark"), lambda: RayCluster("")])
def test_what_is_no_address(make: Callable[[], RayCluster]) -> None:
    with pytest.raises(ConfigurationError, match="is none of ray, ray://HOST:PORT and HOST:PORT"):
        make()
