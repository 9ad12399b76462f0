"""Tools that the host runs itself: accepted where it has them, limited, reserved, and booked as it reports them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from deepthrift import AsyncClient
from deepthrift.errors import InvalidRequestError, PriceNotFound, UnsupportedFeature
from deepthrift_pricing import Budget, Ledger, PriceBook
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import Door, ask, every_door

SEARCH = {"type": "deepseek_web_search"}
READ = {"type": "deepseek_read_url"}
FOUND = Answer("Paris.", prompt_tokens=50_000, text_tokens=100, server_tool_use={"web_search_requests": 2})
PER_USE = 45_000
"""Prompt tokens that the profile reserves for the results of one use."""


def book() -> PriceBook:
    return PriceBook.flat(cache_miss="1", completion="1", per_request={"search": "10", "fetch": "20"})


def client(ledger: Ledger | None = None, **changes: object) -> dict[str, object]:
    given: dict[str, object] = {"host": "deepseek-v4", "model": "deepseek-flash", "prices": book(), **changes}
    return given if ledger is None else {**given, "ledger": ledger}


@every_door
async def test_a_search_is_declared_reserved_and_booked(door: Door) -> None:
    tools = [{**SEARCH, "max_uses": 3}, {**READ, "max_uses": 1}]
    with Ledger.open("memory:", budgets=[Budget("1", per="day")]) as ledger:
        async with BillServer(FOUND) as server:
            reply = await ask(door, server, "hi", tools=tools, max_tokens=200, client=client(ledger))
            [request] = server.requests
        assert request.body["tools"] == [SEARCH, READ]  # the limit is ours: the host reads none
        [attempt] = ledger.attempts()
        assert attempt.usage is not None
        assert attempt.usage.requests == {"search": 2}
        assert attempt.cost.requests.amount == Decimal("0.02")
        assert attempt.cost.amount == Decimal("0.02") + Decimal("0.0501")
        assert attempt.cost.certainty == "exact"
        assert reply.cost == attempt.cost
        plain = await _reserved_without_tools()
        assert attempt.reserved.amount == plain + Decimal("0.05") + 4 * PER_USE / Decimal(1_000_000)
        [row] = ledger.spend(by=())
        assert row.requests.amount == Decimal("0.02")
        assert row.cache_hit + row.cache_miss + row.completion + row.requests == row.total


async def _reserved_without_tools() -> Decimal:
    async with BillServer(FOUND.but(server_tool_use=None)) as server:
        reply = await ask("async", server, "hi", max_tokens=200, client=client())
    return reply.attempts[0].reserved.amount


@every_door
async def test_a_host_that_reports_nothing_is_booked_at_what_was_reserved(door: Door) -> None:
    with Ledger.open("memory:") as ledger:
        async with BillServer(FOUND.but(server_tool_use=None)) as server:
            reply = await ask(door, server, tools=[{**SEARCH, "max_uses": 3}], client=client(ledger))
        [attempt] = ledger.attempts()
    assert attempt.cost.requests.amount == Decimal("0.03")
    assert attempt.cost.certainty == "estimated"
    assert "the host doesn't report its search requests; the 3 that were reserved are booked" in reply.warnings


async def test_a_report_of_none_is_believed_and_costs_nothing() -> None:
    async with BillServer(FOUND.but(server_tool_use={"web_search_requests": 0})) as server:
        reply = await ask("async", server, tools=[SEARCH], client=client())
    assert (reply.cost.requests.amount, reply.cost.certainty) == (0, "exact")


async def test_more_than_was_reserved_is_booked_in_full() -> None:
    async with BillServer(FOUND.but(server_tool_use={"web_search_requests": 9})) as server:
        reply = await ask("async", server, tools=[{**SEARCH, "max_uses": 3}], client=client())
    assert reply.cost.requests.amount == Decimal("0.09")
    assert reply.cost.certainty == "estimated"
    assert "the host reports 9 search requests, more than the 3 that were reserved" in reply.warnings


async def test_a_kind_without_a_price_never_passes_as_exact() -> None:
    async with BillServer(FOUND.but(server_tool_use={"code_execution_requests": 2})) as server:
        reply = await ask("async", server, client=client())
    assert reply.cost.certainty == "estimated"
    assert (
        "the host reports requests that have no price here, and are not in the cost: 2 code_execution" in reply.warnings
    )


async def test_without_a_limit_a_budget_could_not_hold() -> None:
    with Ledger.open("memory:", budgets=[Budget("1", per="day")]) as ledger:
        async with BillServer(FOUND) as server:
            with pytest.raises(InvalidRequestError, match="states no limit for how often 'deepseek_web_search' runs"):
                await ask("async", server, tools=[SEARCH], client=client(ledger))
            assert not server.requests
    with Ledger.open("memory:", budgets=[Budget("1", per="day", policy="warn")]) as ledger:
        async with BillServer(FOUND) as server:
            await ask("async", server, tools=[SEARCH], client=client(ledger))


async def test_no_room_for_what_a_search_may_cost_no_call() -> None:
    from deepthrift.errors import BudgetExceeded

    with Ledger.open("memory:", budgets=[Budget("0.1", per="day", policy="refuse")]) as ledger:
        async with BillServer(FOUND) as server:
            with pytest.raises(BudgetExceeded):
                await ask("async", server, tools=[{**SEARCH, "max_uses": 3}], max_tokens=9, client=client(ledger))
            assert not server.requests


@every_door
async def test_other_hosts_refuse_with_the_list_of_those_that_have_it(door: Door) -> None:
    async with BillServer(FOUND) as server:
        for host, says in (
            ("vllm", "hosts that run tools are deepseek-v4"),
            ("together", "hosts that run tools are deepseek-v4"),
        ):
            with pytest.raises(UnsupportedFeature, match=says):
                await ask(door, server, tools=[SEARCH], client={"host": host, "prices": book()})
        with pytest.raises(UnsupportedFeature, match="it runs deepseek_read_url, deepseek_web_search"):
            await ask(door, server, tools=[{"type": "web_search_20250305"}], client=client())
        assert not server.requests


@pytest.mark.parametrize("uses", [0, -1, True, "3", 1.5, 10**6])
async def test_a_limit_that_cannot_be_is_refused(uses: object) -> None:
    async with BillServer(FOUND) as server:
        with pytest.raises(InvalidRequestError, match="max_uses is a whole number"):
            await ask("async", server, tools=[{**SEARCH, "max_uses": uses}], client=client())


async def test_no_price_for_a_search_no_call() -> None:
    prices = PriceBook.flat(cache_miss="1", completion="1")
    async with BillServer(FOUND) as server:
        with pytest.raises(PriceNotFound, match="no amount for requests of the kind 'search'"):
            await ask("async", server, tools=[SEARCH], client=client(prices=prices))
        assert not server.requests


async def test_functions_go_beside_and_the_estimate_is_what_gets_reserved() -> None:
    function = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    async with BillServer(FOUND) as server, AsyncClient(server.url, **client()) as asking:  # type: ignore[arg-type]
        tools = [function, {**SEARCH, "max_uses": 2}]
        estimate = asking.estimate("hi", tools=tools, max_tokens=20)  # type: ignore[arg-type]
        reply = await asking.chat("hi", tools=tools, max_tokens=20)  # type: ignore[arg-type]
        assert estimate.worst == reply.attempts[0].reserved
        assert server.requests[0].body["tools"] == [function, SEARCH]
