"""Several endpoints of one model: who is asked, what is booked where, and what never leaves its region."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import BaseModel

from deepthrift import AsyncClient, CircuitBreaker, Client, Endpoint, Finished, Reply
from deepthrift.errors import (
    AuthenticationFailed,
    BadRequest,
    BudgetExceeded,
    ConfigurationError,
    ConnectionFailed,
    DeadlineExceeded,
    DeepthriftError,
    InsufficientBalance,
    NoEndpointAllowed,
    ServerError,
    StreamInterrupted,
)
from deepthrift_pricing import Budget, Ledger, PriceBook
from deepthrift_router import ModeRouter
from tests.support.bill_server import Answer, Behaviour, BillServer, Drop, Failure
from tests.support.doors import DOORS, MODEL, Door, booked, every_door, owed, through_async, through_sync

CHEAP = PriceBook.flat(cache_hit="0.07", cache_miss="0.56", completion="1.68")
DEAR = PriceBook.flat(cache_hit="0.7", cache_miss="5.6", completion="16.8")
PARIS, ROME = Answer("Paris.", prompt_tokens=10), Answer("Rome.", prompt_tokens=10)
NOWHERE = "http://127.0.0.1:1/v1"


def endpoint(server: BillServer | str, **changes: Any) -> Endpoint:
    url = server if isinstance(server, str) else server.url
    return Endpoint(url, **{"host": "vllm", "model": MODEL, "api_key": "key", "prices": CHEAP, **changes})


async def ask(door: Door, endpoints: list[Endpoint], *, client: dict[str, Any] | None = None, **call: Any) -> Reply:
    streamed = door.endswith("stream")
    given = {"endpoints": endpoints, "max_retries": 0, **(client or {})}
    if door.startswith("async"):
        async with AsyncClient(**given) as opened:
            return await through_async(opened, "Hi", streamed=streamed, max_tokens=9, **call)

    def work() -> Reply:
        with Client(**given) as opened:
            return through_sync(opened, "Hi", streamed=streamed, max_tokens=9, **call)

    return await asyncio.to_thread(work)


@pytest.mark.parametrize(
    "failure", [Failure(500), Failure(503), Failure(429), Failure(401), Failure(402), Failure(404)]
)
@pytest.mark.parametrize("door", DOORS)
async def test_an_endpoint_that_cannot_is_left_for_the_next(door: Door, failure: Failure) -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(failure) as first, BillServer(ROME) as second:
        reply = await ask(
            door,
            [endpoint(first, api_key="first"), endpoint(second, host="sglang", api_key="second", prices=DEAR)],
            client={"ledger": ledger},
        )
        assert (len(first.requests), len(second.requests)) == (1, 1)
        assert first.requests[0].headers["authorization"] == "Bearer first"
        assert second.requests[0].headers["authorization"] == "Bearer second"
    assert (reply.text, reply.host) == ("Rome.", "sglang")
    held = reply.attempts[0].cost.amount
    status = "unknown" if held else "released"
    assert bool(held) is (failure.status == 500)
    assert [(each.host, each.status) for each in reply.attempts] == [("vllm", status), ("sglang", "settled")]
    assert reply.attempts[1].cost.amount == Decimal("5.6") * 10 / 10**6 + Decimal("16.8") * 1 / 10**6
    assert reply.attempts[1].reserved.amount > reply.attempts[0].reserved.amount * 5
    assert booked(ledger) == reply.cost.amount == held + reply.attempts[1].cost.amount
    assert any(warning.startswith("vllm was left for sglang") for warning in reply.warnings)
    ledger.close()


@every_door
async def test_nobody_there_is_left_for_the_next(door: Door) -> None:
    async with BillServer(ROME) as second:
        reply = await ask(door, [endpoint(NOWHERE), endpoint(second)])
    assert reply.text == "Rome."


@every_door
@pytest.mark.parametrize("failure", [Drop(billed=PARIS), Answer("la la la", cut_after=1)])
async def test_what_may_have_been_billed_is_not_asked_for_again(door: Door, failure: Behaviour) -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(failure) as first, BillServer(ROME) as second:
        with pytest.raises((ConnectionFailed, StreamInterrupted)):
            await ask(door, [endpoint(first), endpoint(second)], client={"ledger": ledger})
        assert not second.requests
        assert booked(ledger) >= first.bill.total
    ledger.close()


@every_door
async def test_nor_because_an_endpoint_before_it_may_be_tried_again(door: Door) -> None:
    async with BillServer(Failure(503)) as first, BillServer(Drop(billed=PARIS)) as second:
        with pytest.raises(ConnectionFailed):
            await ask(door, [endpoint(first), endpoint(second)], client={"max_retries": 2})
        assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_unless_the_user_wants_that() -> None:
    async with BillServer(Drop(billed=PARIS)) as first, BillServer(ROME) as second:
        reply = await ask("async", [endpoint(first), endpoint(second)], client={"retry_unanswered": True})
    assert [each.status for each in reply.attempts] == ["unknown", "settled"]


@pytest.mark.parametrize("status", [400, 422])
async def test_a_wrong_request_is_wrong_everywhere(status: int) -> None:
    async with BillServer(Failure(status)) as first, BillServer(ROME) as second:
        with pytest.raises(Exception, match=str(status)):
            await ask("async", [endpoint(first), endpoint(second)])
        assert not second.requests


async def test_an_endpoint_whose_circuit_is_open_is_skipped() -> None:
    async with (
        BillServer(Failure(500)) as first,
        BillServer(ROME) as second,
        AsyncClient(
            endpoints=[endpoint(first), endpoint(second, host="sglang")],
            circuit_breaker=CircuitBreaker(failures=2, pause=1000),
        ) as client,
    ):
        for _ in range(5):
            assert (await client.chat("Hi", max_tokens=9)).text == "Rome."
        assert len(first.requests) == 2
        assert [(each.host, each.circuit) for each in client.endpoints] == [("vllm", "open"), ("sglang", "closed")]
        assert client.host.name == "vllm"


async def test_when_all_fail_the_round_is_retried_and_the_error_tells_all_attempts() -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(Failure(500)) as first, BillServer([Failure(503, "full"), ROME]) as second:
        endpoints = [endpoint(first), endpoint(second)]
        reply = await ask("async", endpoints, client={"max_retries": 1, "ledger": ledger})
        assert [each.http_status for each in reply.attempts] == [500, 503, 500, 200]
        second.script = Failure(503, "full")
        with pytest.raises(ServerError, match="full") as failed:
            await ask("async", endpoints, client={"ledger": ledger})
        assert len(failed.value.attempt_ids) == 2
        assert failed.value.spend is not None
        held = [each for each in ledger.attempts() if each.id in failed.value.attempt_ids and each.status == "unknown"]
        assert [each.http_status for each in held] == [500]
        assert failed.value.spend == held[0].reserved
    ledger.close()


async def test_the_next_round_waits_for_the_endpoint_that_is_ready_first() -> None:
    async with BillServer([Failure(500), ROME]) as first, BillServer(Failure(429, retry_after="100")) as second:
        reply = await ask("async", [endpoint(first), endpoint(second)], client={"max_retries": 1}, deadline=30.0)
        assert (reply.text, len(first.requests), len(second.requests)) == ("Rome.", 2, 1)


async def test_one_that_refused_for_good_is_not_asked_in_the_next_round() -> None:
    async with BillServer(Failure(401)) as first, BillServer([Failure(503), ROME]) as second:
        reply = await ask("async", [endpoint(first), endpoint(second)], client={"max_retries": 2})
        assert (reply.text, len(first.requests), len(second.requests)) == ("Rome.", 1, 2)


async def test_when_all_circuits_are_open_the_soonest_is_told() -> None:
    async with BillServer(Failure(402)) as first, BillServer(Failure(402)) as second:
        async with AsyncClient(endpoints=[endpoint(first), endpoint(second)], max_retries=0) as client:
            with pytest.raises(InsufficientBalance, match="402"):
                await client.chat("Hi", max_tokens=9)
            with pytest.raises(InsufficientBalance, match="nothing was sent") as refused:
                await client.chat("Hi", max_tokens=9)
            assert refused.value.attempt_ids == ()
        assert len(first.requests) == len(second.requests) == 1


async def test_a_pause_that_one_endpoint_asked_for_sends_calls_to_the_other() -> None:
    async with BillServer(Failure(429, retry_after="600")) as first, BillServer(ROME) as second:
        async with AsyncClient(endpoints=[endpoint(first), endpoint(second)]) as client:
            for _ in range(3):
                assert (await client.chat("Hi", max_tokens=9, deadline=120)).text == "Rome."
        assert (len(first.requests), len(second.requests)) == (1, 3)


async def test_the_deadline_is_that_of_the_whole_call() -> None:
    async with BillServer(Answer("Paris.", delay=60)) as first, BillServer(ROME) as second:
        with pytest.raises(DeadlineExceeded):
            await ask("async", [endpoint(first), endpoint(second)], deadline=0.1)
        assert not second.requests


@every_door
async def test_data_stay_in_their_region(door: Door) -> None:
    """Whatever happens inside it, nothing is sent outside."""
    async with BillServer(ROME) as outside, BillServer(Failure(500)) as inside:
        endpoints = [endpoint(outside, region="us"), endpoint(outside), endpoint(inside, region="eu")]
        with pytest.raises(ServerError):
            await ask(door, endpoints, client={"regions": {"eu"}, "max_retries": 1})
        with pytest.raises(ServerError):
            await ask(door, endpoints, regions={"eu"})
        with pytest.raises(NoEndpointAllowed, match="must stay in 'mars'"):
            await ask(door, endpoints, regions={"mars"})
        with pytest.raises(NoEndpointAllowed):
            await ask(door, endpoints, client={"regions": {"eu"}}, regions={"us"})
        assert not outside.requests
        assert len(inside.requests) == 3


async def test_tools_objects_and_routes_stay_in_their_region_and_fail_over() -> None:
    class City(BaseModel):
        name: str

    def weather(city: str) -> str:
        """Tell the weather."""
        return "sunny"

    call = Answer("", tool_calls=[("weather", '{"city": "Paris"}')])
    async with (
        BillServer(ROME) as outside,
        BillServer(Failure(500)) as first,
        BillServer([call, ROME, Answer('{"name": "Paris"}'), Answer("168.")]) as second,
    ):
        async with AsyncClient(
            endpoints=[
                endpoint(outside, region="us"),
                endpoint(first, region="eu"),
                endpoint(second, region="eu", host="sglang"),
            ],
            regions={"eu"},
        ) as client:
            tools = await client.run_tools("Weather?", tools=[weather], max_tokens=9, max_spend="0.01")
            assert (tools.text, tools.rounds) == ("Rome.", 2)
            assert (await client.parse("City?", into=City, max_tokens=9)).name == "Paris"
            routed = await ModeRouter(client).chat("How many primes are below 1,000?", max_tokens=9)
            assert {each.host for each in routed.attempts if each.status == "settled"} == {"sglang"}
            with pytest.raises(NoEndpointAllowed):
                await client.parse("City?", into=City, regions={"us"})
        assert not outside.requests


async def test_a_dearer_endpoint_is_not_asked_where_the_budget_has_no_room_for_it() -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.0001", per="total")])
    async with BillServer(Failure(500)) as first, BillServer(ROME) as second:
        with pytest.raises(ServerError):
            await ask("async", [endpoint(first), endpoint(second, prices=DEAR)], client={"ledger": ledger})
        assert not second.requests
        first.script = PARIS
        reply = await ask("async", [endpoint(second, prices=DEAR), endpoint(first)], client={"ledger": ledger})
        assert reply.text == "Paris."
        with pytest.raises(BudgetExceeded):
            await ask("async", [endpoint(second, prices=DEAR)], client={"ledger": ledger})
    ledger.close()


async def test_an_estimate_covers_every_endpoint_that_may_answer() -> None:
    async with AsyncClient(endpoints=[endpoint(NOWHERE), endpoint(NOWHERE, prices=DEAR, region="eu")]) as client:
        both = client.estimate("Hi", max_tokens=9)
        dear = client.estimate("Hi", max_tokens=9, regions={"eu"})
        assert both.worst == dear.worst
        assert both.least < dear.least
        assert both.likely is None or both.likely < dear.worst


async def test_what_an_endpoint_cannot_do_is_asked_of_one_that_can() -> None:
    async with BillServer(ROME) as first, BillServer(PARIS) as second:
        official = endpoint(first, host="deepseek", model=None)
        async with AsyncClient(endpoints=[official, endpoint(second)]) as client:
            reply = await client.chat("Hi", mode="thinking", logprobs=True, max_tokens=9)
            assert (reply.host, len(first.requests)) == ("vllm", 0)


async def test_a_stream_says_who_answers() -> None:
    async with (
        BillServer(Failure(500)) as first,
        BillServer(ROME) as second,
        AsyncClient(endpoints=[endpoint(first), endpoint(second, host="sglang")]) as client,
    ):
        async with client.stream("Hi", max_tokens=9) as stream:
            events = [event async for event in stream]
        assert isinstance(events[-1], Finished)
        assert events[-1].reply.host == "sglang"
        assert stream.reply.attempts == events[-1].reply.attempts


def test_the_same_for_one_endpoint() -> None:
    with pytest.raises(NoEndpointAllowed, match="the endpoints are in 'us'"):
        AsyncClient(NOWHERE, host="vllm", model=MODEL, region="us", regions={"eu"})
    client = AsyncClient(NOWHERE, host="vllm", model=MODEL, region="eu", regions=["eu"])
    assert client.endpoints[0].region == "eu"
    asyncio.run(client.aclose())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"endpoints": []}, "at least one"),
        ({"endpoints": ["http://gpu-box/v1"]}, "Endpoint"),
        ({"endpoints": [endpoint(NOWHERE)], "model": "m"}, "model goes into each"),
        ({"endpoints": [endpoint(NOWHERE)], "max_concurrency": 3}, "max_concurrency goes into each"),
        ({"endpoints": [endpoint(NOWHERE)], "regions": "eu"}, "set of names"),
        ({"endpoints": [endpoint(NOWHERE)], "regions": set()}, "must stay in none"),
        (
            {
                "endpoints": [
                    endpoint(NOWHERE),
                    endpoint(NOWHERE, prices=PriceBook.flat(cache_miss="4", completion="12", currency="CNY")),
                ]
            },
            "two currencies",
        ),
    ],
)
def test_a_wrong_setting_is_told_at_once(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        AsyncClient(**wrong)


def test_a_wrong_region_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError, match="region"):
        endpoint(NOWHERE, region="")


def test_an_endpoint_shows_no_secret() -> None:
    secret = endpoint(
        NOWHERE, api_key="sk-secret-1", headers={"x-key": "sk-secret-2"}, proxy="http://u:sk-secret-3@p:1"
    )
    assert "secret" not in repr(secret)


@pytest.mark.parametrize("regions", ["eu", [1], {"eu": 1, 2: 3}])
async def test_wrong_regions_of_a_call_are_told(regions: Collection[str]) -> None:
    async with AsyncClient(endpoints=[endpoint(NOWHERE, region="eu")]) as client:
        with pytest.raises(ConfigurationError, match="set of names"):
            await client.chat("Hi", regions=regions)


async def test_two_kinds_of_refusal() -> None:
    """A bad request is not hidden by an endpoint before it that is down; a bad key by one after it is a warning."""
    async with BillServer(Failure(500)) as first, BillServer(Failure(400, "bad")) as second:
        with pytest.raises(BadRequest):
            await ask("async", [endpoint(first), endpoint(second)])
        second.script = Failure(401, "who?")
        with pytest.raises(AuthenticationFailed):
            await ask("async", [endpoint(first), endpoint(second)])


OUTCOMES: dict[str, Behaviour] = {
    "answers": PARIS,
    "is down": Failure(503),
    "is behind a broken gateway": Failure(502),
    "is full": Failure(429),
    "wants a key": Failure(401),
    "finds it wrong": Failure(400),
    "loses it": Drop(),
    "answers and loses it": Drop(billed=PARIS),
    "breaks off": Answer("la la la", cut_after=1, prompt_tokens=5),
}


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[BillServer, ...]]:
    with BillServer() as first, BillServer() as second, BillServer() as third:
        yield first, second, third


@given(
    outcomes=st.lists(st.sampled_from(sorted(OUTCOMES)), min_size=3, max_size=3),
    regions=st.lists(st.sampled_from(["eu", "us"]), min_size=3, max_size=3),
    allowed=st.sampled_from([None, {"eu"}, {"us"}]),
    streamed=st.booleans(),
)
@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_the_endpoints_do(
    servers: tuple[BillServer, ...],
    outcomes: list[str],
    regions: list[str],
    allowed: set[str] | None,
    streamed: bool,
) -> None:
    """Nothing leaves its region, nothing is paid twice, and what was billed is booked."""
    ledger = Ledger.open("memory:")
    before = [(len(server.requests), server.bill.total) for server in servers]
    for server, outcome in zip(servers, outcomes, strict=True):
        server.script = OUTCOMES[outcome]
    endpoints = [endpoint(server, region=region) for server, region in zip(servers, regions, strict=True)]

    async def call() -> Reply | Exception:
        async with AsyncClient(endpoints=endpoints, ledger=ledger, max_retries=0) as client:
            try:
                return await through_async(client, "Hi", streamed=streamed, max_tokens=9, regions=allowed)
            except DeepthriftError as error:
                return error

    result = asyncio.run(call())
    for server in servers:
        server.quiet()
    asked = [len(server.requests) - count for server, (count, _) in zip(servers, before, strict=True)]
    bills = [server.bill.total - bill for server, (_, bill) in zip(servers, before, strict=True)]
    ways = [place for place in range(3) if allowed is None or regions[place] in allowed]
    passed = ("is down", "is behind a broken gateway", "is full", "wants a key")
    last = next((at for at, place in enumerate(ways) if outcomes[place] not in passed), len(ways) - 1)
    assert [place for place in range(3) if asked[place]] == ways[: last + 1]
    assert max(asked) <= 1
    assert sum(bill > 0 for bill in bills) <= 1
    assert booked(ledger) >= sum(bills)
    assert isinstance(result, Reply) == (bool(ways) and outcomes[ways[last]] == "answers")
    if isinstance(result, Reply):
        held = sum(each.cost.amount for each in ledger.attempts() if each.status == "unknown")
        assert result.cost.amount == booked(ledger) == sum(bills) + held
    assert not {attempt.status for attempt in ledger.attempts()} & {"reserved"}
    ledger.close()


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
async def test_a_call_may_be_cancelled_on_any_way(streamed: bool) -> None:
    """Each pair of calls is cancelled one turn of the loop later than the last, on its way over two endpoints."""
    ledger = Ledger.open("memory:", budgets=[Budget("100", per="total")])
    answered = 0
    async with (
        BillServer(Failure(500)) as first,
        BillServer(ROME) as second,
        AsyncClient(
            endpoints=[endpoint(first, max_concurrency=1), endpoint(second, max_concurrency=1)],
            ledger=ledger,
            circuit_breaker=CircuitBreaker(failures=10**6),
        ) as client,
    ):
        for turns in range(200):
            calls = [
                asyncio.create_task(through_async(client, "Hi", streamed=streamed, max_tokens=9)) for _ in range(2)
            ]
            for _ in range(turns):
                await asyncio.sleep(0 if turns < 40 else 0.0003 * 1.03 ** (turns - 40))
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            assert [(each.in_flight, each.waiting) for each in client.endpoints] == [(0, 0), (0, 0)]
            answered += not any(call.cancelled() for call in calls)
            if answered == 3:
                break
        await first.wait_quiet()
        await second.wait_quiet()
        assert answered == 3, "the calls were never given time to end"
        assert booked(ledger) >= owed(second) > first.bill.total == 0
    assert not [attempt.id for attempt in ledger.attempts() if attempt.status == "reserved"]
    [status] = ledger.budget_status()
    assert not status.reserved
    assert status.spent.amount == booked(ledger)
    ledger.close()
