"""The comparison of clients that are not awaited: the same report, from threads, and in a running event loop too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from deepthrift import AsyncClient, Client, Reply
from deepthrift.compare import Comparison, Pair, compare, compare_sync
from deepthrift.errors import ConfigurationError, InvalidRequestError
from deepthrift_pricing import Budget, Ledger
from deepthrift_router import ModeRouter
from tests.support.bill_server import Answer, BillServer, Failure, Received
from tests.support.doors import booked, settings


@pytest.fixture
def servers() -> Iterator[tuple[BillServer, BillServer]]:
    with BillServer() as a, BillServer(Answer("Paris, they say.")) as b:
        yield a, b


def run(
    servers: tuple[BillServer, BillServer], prompts: Any, ledger: Ledger | None = None, **changes: Any
) -> Comparison:
    each = {"ledger": ledger, "max_retries": 0}
    options: dict[str, Any] = {"max_tokens": 64, **changes}
    with Client(**settings(servers[0], **each)) as a, Client(**settings(servers[1], **each)) as b:
        return compare_sync(a, b, prompts, **options)


def told(found: Comparison) -> dict[str, Any]:
    """The report without what differs from run to run."""
    seconds = {"median_seconds", "p95_seconds"}
    return found.model_dump(exclude={"seconds": True, "a": seconds, "b": seconds})


async def test_it_reports_what_the_awaited_one_reports(servers: tuple[BillServer, BillServer]) -> None:
    """Called, on purpose, where an event loop is running."""
    prompts = [f"Prompt {n}" for n in range(6)]
    with Ledger.open() as ledger:
        found = run(servers, prompts, ledger, temperature=0.5, mode="thinking")
        assert servers[0].bill.total + servers[1].bill.total == booked(ledger)
    assert {request.body["temperature"] for request in servers[0].requests} == {0.5}
    assert {request.mode_ran for request in servers[1].requests} == {"thinking"}
    async with AsyncClient(**settings(servers[0])) as a, AsyncClient(**settings(servers[1])) as b:
        awaited = await compare(a, b, prompts, max_tokens=64, temperature=0.5, mode="thinking")
    assert told(found) == told(awaited)
    assert (found.prompts, found.pairs, found.stopped) == (6, 6, None)
    assert str(servers[0].url) in found.a.name


def test_sides_take_turns_and_callbacks_come_one_at_a_time(servers: tuple[BillServer, BillServer]) -> None:
    order: list[tuple[str, str]] = []
    for name, server in zip("ab", servers, strict=True):

        def script(request: Received, name: str = name) -> Answer:
            order.append((request.question, name))
            return Answer()

        server.script = script
    pairs: list[Pair] = []
    threads: set[int] = set()

    def agree(a: Reply, b: Reply, messages: Any) -> bool:
        threads.add(threading.get_ident())
        return a.text == b.text

    found = run(servers, ["0", "1"], concurrency=1, agree=agree, on_pair=pairs.append)
    assert order == [("0", "a"), ("0", "b"), ("1", "b"), ("1", "a")]
    assert [pair.agree for pair in pairs] == [True, True]
    assert found.agreement is not None
    assert found.agreement.share == 1
    assert len(threads) == 1


def test_a_budget_stops_it_and_failures_are_counted(servers: tuple[BillServer, BillServer]) -> None:
    servers[1].script = [Failure(422, "no"), Answer()]
    with Ledger.open(budgets=[Budget("0.00015", per="total")]) as ledger:
        found = run(servers, [f"Prompt {n}" for n in range(50)], ledger, concurrency=2)
        assert booked(ledger) == servers[0].bill.total + servers[1].bill.total <= Decimal("0.00015")
    assert found.stopped is not None
    assert "does not fit the budget" in found.stopped
    assert 0 < found.pairs < 50
    assert found.b.errors == {"UnprocessableRequest": 1}


def test_a_router_and_an_object_of_yours(servers: tuple[BillServer, BillServer]) -> None:
    class Own:
        def __init__(self, client: Client) -> None:
            self._inner = client

        def chat(self, messages: Any, *, max_tokens: int | None = None, **options: Any) -> Reply:
            return self._inner.chat(messages, max_tokens=max_tokens, **options)

    with Client(**settings(servers[0])) as a, Client(**settings(servers[1])) as b:
        found = compare_sync(ModeRouter(a, policy="cascade"), Own(b), ["one", "two"])
    assert (found.a.name, found.b.name) == ("ModeRouter", "Own")
    assert (found.a.answered, found.b.answered) == (2, 2)
    assert len(servers[0].requests) > len(servers[1].requests) == 2


def test_an_error_of_a_callback_ends_it_and_everything_is_booked(servers: tuple[BillServer, BillServer]) -> None:
    def broken(pair: Pair) -> None:
        raise ZeroDivisionError("a bug")

    with Ledger.open() as ledger:
        with pytest.raises(ZeroDivisionError):
            run(servers, [f"Prompt {n}" for n in range(20)], ledger, on_pair=broken)
        for server in servers:
            server.quiet()
        assert len(servers[0].requests) < 20
        assert not [attempt for attempt in ledger.attempts() if attempt.status == "reserved"]
        assert booked(ledger) >= servers[0].bill.total + servers[1].bill.total


async def test_the_wrong_kind_of_client_is_told_before_anything_is_sent(
    servers: tuple[BillServer, BillServer],
) -> None:
    class Awaited:
        async def chat(self, messages: Any, **options: Any) -> Reply:
            raise AssertionError("it was called")

    given: Any
    with Client(**settings(servers[0])) as sync:
        async with AsyncClient(**settings(servers[1])) as awaited:
            for given in (awaited, ModeRouter(awaited), Awaited()):
                with pytest.raises(ConfigurationError, match="chat of b is awaited"):
                    compare_sync(sync, given, ["one"])
            for given in (sync, ModeRouter(sync)):
                with pytest.raises(ConfigurationError, match="compare_sync"):
                    await compare(given, awaited, ["one"])
        with pytest.raises(ConfigurationError, match="concurrency"):
            compare_sync(sync, sync, ["one"], concurrency=0)
        with pytest.raises(InvalidRequestError, match="prompt 2"):
            compare_sync(sync, sync, ["one", ""])
    assert servers[0].requests == servers[1].requests == []


async def test_an_object_whose_chat_turns_out_not_to_be_awaited(servers: tuple[BillServer, BillServer]) -> None:
    class Own:
        def __init__(self, inner: Client) -> None:
            self._inner = inner

        def chat(self, messages: Any, **options: Any) -> Reply:
            return self._inner.chat(messages, **options)

    given: Any
    with Client(**settings(servers[0])) as sync:
        given = Own(sync)
        with pytest.raises(ConfigurationError, match=r"Own\.chat is not awaited: use compare_sync"):
            await compare(given, given, ["one", "two"], concurrency=1)
    assert len(servers[0].requests) == 1
