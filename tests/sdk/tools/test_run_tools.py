"""The loop between the model and its tools, against a server that keeps the true bill."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from decimal import Decimal
from typing import Any

import pytest

from deepthrift import AsyncClient, Client, Finished, StreamEvent, TextDelta, ToolCallDelta
from deepthrift.errors import (
    BudgetExceeded,
    ConfigurationError,
    DeadlineExceeded,
    InvalidRequestError,
    ServerError,
    ToolCallsMissing,
    ToolFailed,
    ToolLoopExceeded,
    UnsupportedFeature,
)
from deepthrift.tools import Tool, ToolLoopEvent, ToolReply, ToolResult, ToolStarted
from deepthrift_pricing import Budget, Ledger, Money
from tests.support.bill_server import Answer, BillServer, Failure, Received
from tests.support.doors import DOORS, Door, booked, every_door, settings
from tests.support.waiting import LIMITS

QUESTION = "What is 1 + 2?"
DONE = Answer("It is 3.")


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def ignore(event: ToolLoopEvent) -> None:
    """Listening streams the rounds."""


def calls(*given: tuple[str, str], text: str = "") -> Answer:
    return Answer(text, tool_calls=given)


ADD = calls(("add", '{"a": 1, "b": 2}'))


async def run(
    door: Door, server: BillServer, *tools: Any, client: dict[str, Any] | None = None, **call: Any
) -> ToolReply:
    """One loop through one door; the streamed ones listen to events."""
    options = settings(server, **(client or {}))
    if door.endswith("stream"):
        call.setdefault("on_event", ignore)
    messages = call.pop("messages", QUESTION)
    if door.startswith("async"):
        async with AsyncClient(**options) as opened:
            return await opened.run_tools(messages, tools=tools, **call)

    def in_sync() -> ToolReply:
        with Client(**options) as opened:
            return opened.run_tools(messages, tools=tools, **call)

    return await asyncio.to_thread(in_sync)


def results(request: Received) -> list[str]:
    """The tool results that a request carries."""
    return [str(message["content"]) for message in request.messages if message["role"] == "tool"]


@every_door
async def test_the_answer_carries_the_whole_exchange_and_its_true_cost(door: Door) -> None:
    ledger = Ledger.open("memory:")
    with BillServer([ADD, DONE]) as server, ledger:
        reply = await run(door, server, add, client={"ledger": ledger})
        server.quiet()
        assert (reply.text, reply.rounds, reply.finish_reason, reply.tool_calls) == ("It is 3.", 2, "stop", ())
        assert reply.cost.amount == server.bill.total == booked(ledger)
        assert {attempt.group_id for attempt in ledger.attempts()} == {reply.group_id}
    assert len(reply.attempts) == 2
    assert reply.usage.completion_tokens == sum(a.usage.completion_tokens for a in reply.attempts if a.usage)
    assert [message["role"] for message in reply.messages] == ["user", "assistant", "tool", "assistant"]
    assert [(result.call.name, result.text, result.failed) for result in reply.results] == [("add", "3", False)]
    assert results(server.requests[1]) == ["3"]
    assert server.requests[1].messages[:3] == list(reply.messages)[:3]


async def test_the_exchange_can_go_on() -> None:
    with BillServer([ADD, DONE, ADD, DONE]) as server:
        async with AsyncClient(**settings(server)) as client:
            first = await client.run_tools(QUESTION, tools=[add])
            more = await client.run_tools([*first.messages, {"role": "user", "content": "Again."}], tools=[add])
        ids = [call["id"] for m in more.messages if m["role"] == "assistant" for call in m.get("tool_calls", ())]
        assert len(set(ids)) == len(ids) == 2
        assert [m["role"] for m in more.messages][4:] == ["user", "assistant", "tool", "assistant"]


@pytest.mark.parametrize("given", [[("user", "Hm?")], (("user", "Hm?"),)])
async def test_the_messages_given_are_not_changed(given: Any) -> None:
    messages = type(given)({"role": role, "content": text} for role, text in given)
    before = json.dumps(messages)
    with BillServer([ADD, DONE]) as server:
        await run("async", server, add, messages=messages)
    assert json.dumps(messages) == before


@every_door
async def test_mistakes_of_the_model_and_failures_of_tools_are_told_to_it(door: Door) -> None:
    def broken() -> None:
        raise KeyError("no such\udc80row")

    async def leaving() -> None:
        raise SystemExit(3)

    async def gives_up() -> None:
        raise asyncio.CancelledError

    asked = calls(
        ("add", '{"a": 1'),
        ("add", '{"a": 1, "b": "x"}'),
        ("mul", "{}"),
        ("broken", ""),
        ("leaving", "{}"),
        ("gives_up", ""),
    )
    with BillServer([asked, DONE]) as server:
        reply = await run(door, server, add, broken, leaving, gives_up)
    told = results(server.requests[1])
    assert all(text.startswith("Error: ") for text in told)
    for text, part in zip(
        told,
        ("Invalid JSON", "b: ", "the tools are add", "KeyError: 'no such", "SystemExit: 3", "Cancelled"),
        strict=True,
    ):
        assert part in text
    assert all(result.failed for result in reply.results)
    assert reply.text == "It is 3."


@every_door
async def test_a_failing_tool_raises_if_asked_to_and_stops_the_others(door: Door) -> None:
    stopped: list[str] = []

    async def broken() -> None:
        raise ZeroDivisionError("secret")

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.append("slow")
            raise

    with BillServer([calls(("slow", ""), ("broken", "")), DONE]) as server:
        with pytest.raises(ToolFailed, match="'broken' raised ZeroDivisionError") as caught:
            await run(door, server, slow, broken, on_error="raise")
        server.quiet()
        assert caught.value.spend is not None
        assert caught.value.spend.amount == server.bill.total
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert stopped == ["slow"]
    assert caught.value.partial is not None
    assert [call.name for call in caught.value.partial.tool_calls] == ["slow", "broken"]
    assert caught.value.attempt_ids == tuple(attempt.id for attempt in caught.value.partial.attempts)
    assert caught.value.request is not None
    assert caught.value.request.url == server.url


async def test_wrong_arguments_are_told_even_where_failures_raise() -> None:
    with BillServer([calls(("add", "{}")), DONE]) as server:
        reply = await run("async", server, add, on_error="raise")
    assert reply.results[0].failed


@every_door
async def test_calls_of_one_round_run_at_once_and_keep_their_order(door: Door) -> None:
    """Each waits for all others, in threads and on the loop: one after the other, they would never end."""
    meet = threading.Barrier(3, timeout=10)

    def wait(name: str) -> str:
        meet.wait()
        return name

    async def later(name: str) -> str:
        await asyncio.to_thread(meet.wait)
        return name

    asked = calls(("later", '{"name": "a"}'), ("wait", '{"name": "b"}'), ("wait", '{"name": "c"}'))
    with BillServer([asked, DONE]) as server:
        await run(door, server, wait, later)
    assert results(server.requests[1]) == ["a", "b", "c"]


@pytest.mark.parametrize(("parallel", "most"), [(False, 1), (True, 8)])
async def test_only_so_many_run_at_once(parallel: bool, most: int) -> None:
    running, peak, started = 0, 0, list[int]()

    async def work(number: int) -> int:
        nonlocal running, peak
        started.append(number)
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0)
        running -= 1
        return number

    with BillServer([calls(*(("work", f'{{"number": {n}}}') for n in range(20))), DONE]) as server:
        reply = await run("async", server, work, parallel=parallel)
    assert peak == most
    assert started == list(range(20))
    assert [result.text for result in reply.results] == [str(n) for n in range(20)]


async def test_threads_see_the_callers_context() -> None:
    user = contextvars.ContextVar[str]("user")
    user.set("Ada")

    def who() -> str:
        return user.get()

    with BillServer([calls(("who", "")), DONE]) as server:
        reply = await run("async", server, who)
    assert reply.results[0].text == "Ada"


@every_door
async def test_too_many_rounds_are_an_error_with_everything_so_far(door: Door) -> None:
    ran: list[int] = []

    def count() -> int:
        ran.append(1)
        return len(ran)

    with BillServer(calls(("count", ""))) as server:
        with pytest.raises(ToolLoopExceeded, match="max_rounds") as caught:
            await run(door, server, count, max_rounds=3)
        server.quiet()
        assert len(server.requests) == 3
        assert len(ran) == 2  # the last round's calls are not run: nobody would read them
        assert caught.value.spend == Money.of(server.bill.total)
    partial = caught.value.partial
    assert partial is not None
    assert partial.rounds == 3
    assert partial.cost.total == caught.value.spend
    assert caught.value.attempt_ids == tuple(attempt.id for attempt in partial.attempts)


@every_door
async def test_a_round_that_may_pass_max_spend_is_not_sent(door: Door) -> None:
    limit = Decimal("0.0005")
    with BillServer(ADD) as server:
        with pytest.raises(ToolLoopExceeded, match="max_spend") as caught:
            await run(door, server, add, max_tokens=20, max_spend=str(limit), max_rounds=100)
        server.quiet()
        assert caught.value.spend is not None
        assert 0 < caught.value.spend.amount == server.bill.total <= limit
        assert 1 < len(server.requests) < 30


async def test_max_spend_holds_before_the_first_round_too() -> None:
    with BillServer(ADD) as server:
        with pytest.raises(ToolLoopExceeded, match="round 1") as caught:
            await run("async", server, add, max_spend=Money.of("0.00001"))
        assert not server.requests
    assert (caught.value.partial, caught.value.spend, caught.value.attempt_ids) == (None, None, ())


@every_door
async def test_a_failed_round_tells_what_all_rounds_cost(door: Door) -> None:
    ledger = Ledger.open("memory:")
    with BillServer([ADD, Failure(500)]) as server, ledger:
        with pytest.raises(ServerError) as caught:
            await run(door, server, add, client={"ledger": ledger, "max_retries": 0})
        server.quiet()
        assert caught.value.spend is not None
        assert caught.value.spend.amount == booked(ledger)
        assert set(caught.value.attempt_ids) == {attempt.id for attempt in ledger.attempts()}
    assert len(caught.value.attempt_ids) == 2
    assert isinstance(caught.value.partial, ToolReply)
    assert caught.value.partial.results[0].text == "3"


async def test_budgets_hold_in_the_loop() -> None:
    with (
        BillServer(ADD) as server,
        Ledger.open("memory:", budgets=[Budget("0.0005", per="total", policy="refuse")]) as ledger,
    ):
        with pytest.raises(BudgetExceeded) as caught:
            await run("async", server, add, max_tokens=20, max_rounds=100, client={"ledger": ledger})
        server.quiet()
        assert caught.value.spend is not None
        assert caught.value.spend.amount == server.bill.total == booked(ledger)


@pytest.mark.parametrize("door", ["async", "sync stream"])
async def test_the_deadline_covers_the_tools(door: Door) -> None:
    begun: list[int] = []

    async def slow() -> None:
        begun.append(1)
        await asyncio.sleep(600)

    for limit in LIMITS:
        with BillServer([calls(("slow", "")), DONE]) as server, pytest.raises(DeadlineExceeded) as caught:
            await run(door, server, slow, deadline=limit)
        if begun:
            break  # else the machine was too busy to get that far within the limit
    assert len(server.requests) == 1
    assert caught.value.spend is not None
    assert isinstance(caught.value.partial, ToolReply)


async def test_a_time_out_inside_a_tool_is_the_tools_own() -> None:
    async def slow() -> None:
        raise TimeoutError("the database")

    with BillServer([calls(("slow", "")), DONE]) as server:
        reply = await run("async", server, slow)
    assert reply.results[0].text == "Error: TimeoutError: the database"


async def test_cancelling_stops_the_tools() -> None:
    stopped = asyncio.Event()
    in_flight = asyncio.Event()

    async def slow() -> None:
        in_flight.set()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    ledger = Ledger.open("memory:")
    with BillServer([calls(("slow", "")), DONE]) as server, ledger:
        async with AsyncClient(**settings(server, ledger=ledger)) as client:
            task = asyncio.create_task(client.run_tools(QUESTION, tools=[slow]))
            await in_flight.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert stopped.is_set()
        assert booked(ledger) == server.bill.total > 0
        assert len(server.requests) == 1


@pytest.mark.parametrize("streamed", [False, True])
async def test_cancelling_stops_the_upstream(streamed: bool) -> None:
    endless = Answer(["word "] * 500, token_delay=0.01)
    ledger = Ledger.open("memory:")
    with BillServer([ADD, endless]) as server, ledger:
        async with AsyncClient(**settings(server, ledger=ledger)) as client:
            listen = ignore if streamed else None
            task = asyncio.create_task(client.run_tools(QUESTION, tools=[add], on_event=listen))
            await server.until(lambda held: len(held.requests) == 2 and held.requests[1].generated > 3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.wait_quiet()
        assert server.requests[1].disconnected
        assert server.requests[1].generated < 500
        assert not [attempt for attempt in ledger.attempts() if attempt.status == "reserved"]


async def test_a_hanging_function_does_not_hold_up_a_cancelled_loop() -> None:
    release, in_flight = threading.Event(), threading.Event()

    def hang() -> None:
        in_flight.set()
        release.wait(30)

    with BillServer([calls(("hang", "")), DONE]) as server:
        async with AsyncClient(**settings(server)) as client:
            task = asyncio.create_task(client.run_tools(QUESTION, tools=[hang]))
            await asyncio.to_thread(in_flight.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not release.is_set()
    release.set()


@pytest.mark.parametrize("door", [door for door in DOORS if door.endswith("stream")])
async def test_events_of_every_round_and_tool_arrive_in_order(door: Door) -> None:
    events: list[ToolLoopEvent] = []
    with BillServer([calls(("add", '{"a": 1, "b": 2}'), text="I add."), DONE]) as server:
        reply = await run(door, server, add, on_event=events.append)
    assert all(request.stream for request in server.requests)
    kinds = [type(event) for event in events]
    assert kinds.index(ToolStarted) > kinds.index(Finished) > kinds.index(ToolCallDelta) > kinds.index(TextDelta)
    assert kinds.index(ToolResult) == kinds.index(ToolStarted) + 1
    assert [event for event in events if isinstance(event, ToolResult)] == list(reply.results)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "I add.It is 3."
    assert kinds.count(Finished) == 2


async def test_an_error_of_the_listener_ends_the_loop() -> None:
    def listen(event: StreamEvent | ToolStarted | ToolResult) -> None:
        if isinstance(event, ToolStarted):
            raise LookupError("listener")  # noqa: TRY004

    with BillServer([ADD, DONE]) as server:
        with pytest.raises(LookupError, match="listener"):
            await run("async", server, add, on_event=listen)
        assert len(server.requests) == 1


async def test_a_forced_tool_is_forced_once() -> None:
    choice = {"type": "function", "function": {"name": "add"}}
    with BillServer([ADD, DONE]) as server:
        await run("async", server, add, tool_choice=choice)
    assert server.requests[0].body["tool_choice"] == choice
    assert "tool_choice" not in server.requests[1].body


V31 = (
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>"
    '{"a": 1, "b": 2}<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
)


@every_door
async def test_r13_calls_left_as_text_are_run(door: Door) -> None:
    events: list[ToolLoopEvent] = []
    pieces = ["I add. ", *(V31[place : place + 3] for place in range(0, len(V31), 3))]
    streamed: dict[str, Any] = {"on_event": events.append} if door.endswith("stream") else {}
    with BillServer([Answer(pieces), Answer(pieces), DONE]) as server:
        reply = await run(door, server, add, **streamed)
    assert reply.text == "It is 3."
    assert results(server.requests[2]) == ["3", "3"]
    assert server.requests[1].messages[1]["content"] == "I add."
    assert len({result.call.id for result in reply.results}) == 2
    assert any("tool parser" in warning for warning in reply.warnings)
    assert not any("｜" in event.text for event in events if isinstance(event, TextDelta))


async def test_r13_a_promised_call_that_is_not_there_ends_the_loop() -> None:
    answer = Answer("I look.", finish_reason="tool_calls")
    with BillServer(answer) as server, pytest.raises(ToolCallsMissing) as caught:
        await run("async", server, add)
    assert caught.value.partial is not None
    assert caught.value.partial.text == "I look."


@every_door
async def test_r12_thinking_with_tools_is_refused_before_sending(door: Door) -> None:
    with BillServer(ADD) as server:
        with pytest.raises(UnsupportedFeature, match="standard"):
            await run(door, server, add, mode="thinking")
        assert not server.requests


WRONG: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((), {}, "at least one tool"),
    ((add, Tool.of(add)), {}, "two tools are called 'add'"),
    (({"type": "function"},), {}, "a tool is a function"),
    ((add,), {"max_rounds": 0}, "max_rounds"),
    ((add,), {"max_rounds": True}, "max_rounds"),
    ((add,), {"max_spend": "0"}, "max_spend"),
    ((add,), {"max_spend": "lots"}, "not an amount"),
    ((add,), {"on_error": "ignore"}, "on_error"),
    ((add,), {"messages": 7}, "a string or a list"),
    ((add,), {"tempreature": 1}, "temperature"),
    ((lambda: 1,), {}, "cannot name a tool"),
]


@pytest.mark.parametrize(("tools", "options", "told"), WRONG)
async def test_what_cannot_be_meant_is_refused_before_sending(
    tools: tuple[Any, ...], options: dict[str, Any], told: str
) -> None:
    with BillServer(DONE) as server:
        with pytest.raises((InvalidRequestError, ConfigurationError), match=told):
            await run("async", server, *tools, **options)
        assert not server.requests
