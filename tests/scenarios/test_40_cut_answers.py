"""40. A cut answer never passes as a whole one, plain or streamed."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from deepthrift import AsyncClient, TextDelta
from deepthrift.errors import ConfigurationError, StreamInterrupted
from deepthrift_pricing import Ledger
from deepthrift_pricing.tokens import count_text
from deepthrift_router import ModeRouter
from tests.sdk.raw_server import END, Step, part, plain, raw_server, stream_head
from tests.support.doors import DOORS, ask, booked, events_of, every_door, every_stream, settings

TEXT = "The capital of"
USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}


def choice(finish: str | None, text: str = TEXT, where: str = "message") -> dict[str, object]:
    return {"index": 0, where: {"content": text}, "finish_reason": finish}


def steps(door: str, finish: str | None, *, usage: object = USAGE, done: bool = True) -> list[Step]:
    """The answer of a server that gives `finish` as its reason."""
    body = {"choices": [choice(finish, where="delta" if "stream" in door else "message")], "usage": usage}
    if "stream" not in door:
        return [plain(json.dumps(body).encode())]
    events = [json.dumps(body), *(["[DONE]"] if done else [])]
    return [stream_head(), *(part(f"data: {event}\n\n".encode()) for event in events), END]


@every_door
@pytest.mark.parametrize("finish", ["abort", "error", "Cancelled", "network_error", "timeout"])
@pytest.mark.parametrize("usage", [USAGE, None], ids=["usage", "none"])
async def test_an_engine_that_breaks_off_is_told_with_its_reason(door: Any, finish: str, usage: object) -> None:
    ledger = Ledger.open("memory:")
    async with raw_server(steps(door, finish, usage=usage)) as server:
        reply = await ask(door, server.url, "hi", max_tokens=50, client={"ledger": ledger})
    assert len(server.requests) == 1, "it is billed, so it is not asked for again"
    assert (reply.text, reply.finish_reason) == (TEXT, finish)
    assert any(f"broke off its answer ({finish}); it is cut" in warning for warning in reply.warnings)
    assert booked(ledger) == reply.cost.amount > 0
    ledger.close()


async def test_the_router_takes_no_cut_answer() -> None:
    def answer(number: int) -> list[Step]:
        return steps("async", "abort" if number == 0 else "stop")

    async with raw_server(answer) as server, AsyncClient(**settings(server.url)) as client:
        reply = await ModeRouter(client).chat("What is the capital of France?", max_tokens=400)
    assert len(server.requests) > 1
    assert reply.finish_reason == "stop"


@every_door
@pytest.mark.parametrize("finish", ["because", None, ""])
async def test_an_end_that_says_nothing_is_a_warning(door: Any, finish: str | None) -> None:
    async with raw_server(steps(door, finish)) as server:
        reply = await ask(door, server.url, "hi", max_tokens=50)
    assert reply.text == TEXT
    assert any("may be cut" in warning for warning in reply.warnings)


@every_door
@pytest.mark.parametrize("finish", ["stop", "length", "content_filter"])
async def test_what_is_known_has_no_warning_of_that_kind(door: Any, finish: str) -> None:
    async with raw_server(steps(door, finish, done=False)) as server:
        reply = await ask(door, server.url, "hi", max_tokens=50)
    assert (reply.text, reply.finish_reason) == (TEXT, finish)
    assert not any("cut" in warning for warning in reply.warnings)


@pytest.mark.parametrize("door", DOORS)
async def test_events_without_an_end(door: Any) -> None:
    """A stream, or events in the place of a plain answer, that stop without a reason and without the end mark."""
    ledger = Ledger.open("memory:")
    event = b"data: " + json.dumps({"choices": [choice(None, where="delta")]}).encode() + b"\n\n"
    steps = [stream_head(), part(event), END] if "stream" in door else [plain(event)]
    async with raw_server(steps) as server:
        with pytest.raises(StreamInterrupted) as error:
            await ask(door, server.url, "hi", max_tokens=50, client={"ledger": ledger})
    assert error.value.partial is not None
    assert error.value.partial.text == TEXT
    assert booked(ledger) > 0
    ledger.close()


async def test_of_several_samples_each_says_how_it_ended() -> None:
    body = {"choices": [choice("abort"), {**choice("stop", "Rome"), "index": 1}], "usage": USAGE}
    async with raw_server([plain(json.dumps(body).encode())]) as server, AsyncClient(**settings(server.url)) as client:
        cut, whole = await client.samples("hi", n=2, max_tokens=50)
    assert (cut.text, whole.text) == (TEXT, "Rome")
    assert any("cut" in warning for warning in cut.warnings)
    assert not any("cut" in warning for warning in whole.warnings)


# -- far past max_tokens ------------------------------------------------------------------------------------------


def runaway(delta: dict[str, object], count: int = 6_000) -> list[Step]:
    event = b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"
    end = b"data: " + json.dumps({"choices": [choice("stop", "", "delta")], "usage": USAGE}).encode() + b"\n\n"
    many = itertools.repeat(part(event * 50), count // 50)
    return [stream_head(), *many, part(end + b"data: [DONE]\n\n"), END]


def call(arguments: str) -> dict[str, object]:
    return {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": arguments}}]}


RUNAWAYS: dict[str, dict[str, object]] = {
    "words": {"content": "word "},
    "many words at once": {"content": "one two three four five six seven eight nine ten " * 4},
    "reasoning": {"reasoning_content": "hmm "},
    "arguments": call("word "),
    "a call left in the text": {"content": "<｜tool▁calls▁begin｜>word "},
}


STOPS = {"stop_beyond_max_tokens": True}
GOES_ON = {"stop_beyond_max_tokens": False}


@every_stream
@pytest.mark.parametrize("kind", RUNAWAYS)
async def test_a_stream_far_past_its_limit_is_ended_and_booked(door: Any, kind: str) -> None:
    ledger = Ledger.open("memory:")
    mode = "thinking" if kind == "reasoning" else "standard"
    async with raw_server(runaway(RUNAWAYS[kind])) as server:
        reply = await ask(door, server.url, "hi", mode=mode, max_tokens=10, client={"ledger": ledger})
    assert reply.finish_reason == "length"
    assert any("past max_tokens=10" in warning for warning in reply.warnings)
    assert 10 < reply.usage.completion_tokens < 1_000
    assert reply.usage.certainty == "estimated"
    assert booked(ledger) == reply.cost.amount > 0
    ledger.close()


@every_stream
async def test_letters_are_no_tokens(door: Any) -> None:
    """A server that sends a letter at a time is not past its limit before its words are."""
    async with raw_server(runaway({"content": "a"}, 400)) as server:
        reply = await ask(door, server.url, "hi", max_tokens=100)
    assert (len(reply.text), reply.finish_reason) == (400, "stop")


@every_stream
async def test_it_is_on_by_default_and_can_be_switched_and_extra_body_counts(door: Any) -> None:
    async with raw_server(runaway({"content": "word "}, 500)) as server:
        for client, options in ((GOES_ON, {}), (STOPS, GOES_ON), ({}, {"extra_body": {"max_tokens": 5_000}})):
            reply = await ask(door, server.url, "hi", max_tokens=10, client=client, **options)
            assert (len(reply.text), reply.finish_reason) == (2_500, "stop")
        for client, options in (({}, {}), (GOES_ON, STOPS)):
            events = await events_of(door, server.url, "hi", max_tokens=10, client=client, **options)
            assert 100 < sum(isinstance(event, TextDelta) for event in events) <= 200


@every_stream
async def test_what_was_shown_is_the_reply_and_what_was_dropped_is_booked(door: Any) -> None:
    """The piece that crosses the limit is not shown, and its tokens count."""
    async with raw_server(runaway({"content": "one two three four five six seven eight nine ten " * 4})) as server:
        events = await events_of(door, server.url, "hi", max_tokens=10)
    shown = "".join(event.text for event in events if isinstance(event, TextDelta))
    reply = events[-1].reply
    assert reply.text == shown
    assert reply.usage.completion_tokens > count_text(shown) + 30


def test_it_is_on_or_off() -> None:
    for wrong in ({"stop_beyond_max_tokens": 2}, {"max_response_bytes": 0}, {"max_response_bytes": 1.5}):
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            AsyncClient(**settings("http://127.0.0.1:9/v1", **wrong))
