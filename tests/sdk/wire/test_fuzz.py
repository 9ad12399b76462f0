"""Streams in any order that the facts allow, cut at any byte, broken off anywhere, and garbage in their place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepthrift import AsyncClient, Finished, HostProfile, ReasoningDelta, Reply, TextDelta, ToolCallDelta
from deepthrift.errors import DeepthriftError
from deepthrift_pricing import Ledger, Mode
from tests.sdk.wire.streams import COMPLETION, PROMPT, Sent, cut, streams
from tests.support import doors

T = TypeVar("T")
PLACES = st.lists(st.integers(0, 5_000), max_size=25)
MODES = st.sampled_from(["standard", "thinking"])
INLINE = HostProfile.named("vllm").model_copy(update={"reasoning_in_text": True})
few = settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])


class Pieces(httpx.AsyncBaseTransport):
    """Answers with the pieces as they are given, without a socket."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self.closed = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async for _ in request.stream:  # type: ignore[union-attr]
            pass
        return httpx.Response(200, stream=_Body(self))


class _Body(httpx.AsyncByteStream):
    def __init__(self, owner: Pieces) -> None:
        self._owner = owner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._owner._pieces:
            yield piece

    async def aclose(self) -> None:
        self._owner.closed += 1


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def inside() -> T:
        return await work()

    return asyncio.run(inside())


async def read(pieces: Sequence[bytes], mode: Mode, ledger: Ledger) -> tuple[Reply, list[Any]]:
    """The reply and the events; snapshots on the way only ever grow."""
    transport = Pieces(pieces)
    options = doors.settings("http://127.0.0.1:9/v1", transport=transport, ledger=ledger, max_retries=0)
    events: list[Any] = []
    so_far = ""
    async with (
        AsyncClient(**{**options, "host": INLINE}) as client,
        client.stream("Hi", mode=mode, max_tokens=100) as stream,
    ):
        async for event in stream:
            events.append(event)
            now = stream.snapshot()
            if not isinstance(event, Finished):
                assert (now.reasoning or "").startswith(so_far)
                so_far = now.reasoning or so_far
            assert now.cost.amount >= 0
    assert transport.closed
    return stream.reply, events


def check(sent: Sent, reply: Reply, events: Sequence[Any]) -> None:
    assert reply.text == sent.text
    assert reply.reasoning == sent.reasoning
    assert reply.finish_reason == sent.finish
    assert tuple((call.name, call.arguments) for call in reply.tool_calls) == sent.calls
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == reply.text
    assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == (reply.reasoning or "")
    called = [event for event in events if isinstance(event, ToolCallDelta)]
    assert "".join(event.arguments for event in called) == "".join(arguments for _, arguments in sent.calls)
    assert isinstance(events[-1], Finished)
    if sent.usage:
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (PROMPT, COMPLETION)
    assert reply.usage.certainty == ("exact" if sent.usage else "estimated")


@few
@given(st.data(), MODES, PLACES)
def test_any_order_and_any_split_give_the_same_reply(data: st.DataObject, mode: Mode, places: list[int]) -> None:
    sent = data.draw(streams(mode=mode))
    ledger = Ledger.open("memory:")
    try:
        reply, events = run(lambda: read(cut(sent.data, places), mode, ledger))
        check(sent, reply, events)
        [attempt] = ledger.attempts()
        assert attempt.status == "settled"
        assert attempt.cost == reply.attempts[0].cost
    finally:
        ledger.close()


async def outcome(pieces: Sequence[bytes], mode: Mode, ledger: Ledger) -> Reply | DeepthriftError:
    """The reply, or our error; anything else fails the test."""
    try:
        reply, _ = await read(pieces, mode, ledger)
    except DeepthriftError as error:
        return error
    return reply


def booked(ledger: Ledger, came: Reply | DeepthriftError) -> None:
    """Nothing stays reserved, and what the caller is told is what is booked."""
    [attempt] = ledger.attempts()
    assert attempt.status in ("settled", "unknown", "released")
    spend = came.spend if isinstance(came, DeepthriftError) else came.cost.total
    assert spend == attempt.cost.total


@few
@given(st.data(), MODES, st.integers(0, 5_000), PLACES)
def test_a_stream_cut_anywhere_is_an_error_or_whole(
    data: st.DataObject, mode: Mode, end: int, places: list[int]
) -> None:
    sent = data.draw(streams(mode=mode))
    ledger = Ledger.open("memory:")
    try:
        came = run(lambda: outcome(cut(sent.data[: end % (len(sent.data) + 1)], places), mode, ledger))
        booked(ledger, came)
        if isinstance(came, DeepthriftError):
            partial = getattr(came, "partial", None)
            assert partial is None or sent.text.startswith(partial.text)
        else:
            assert (came.text, came.reasoning) == (sent.text, sent.reasoning)
    finally:
        ledger.close()


ERRORS = st.sampled_from(
    [
        b'{"error":{"message":"overloaded","code":503}}',
        b'{"object":"error","message":"no","code":400}',
        b'{"error":{"code":429,"message":"slow down","metadata":{}}}',
        b'{"error":"Insufficient Balance"}',
    ]
)


@few
@given(st.data(), MODES, st.integers(0, 60), ERRORS)
def test_an_error_event_anywhere_is_raised_with_what_came_before(
    data: st.DataObject, mode: Mode, place: int, error: bytes
) -> None:
    sent = data.draw(streams(mode=mode))
    events = sent.data.split(b"data:")
    at = place % (len(events) - 1) + 1  # before the first event at the earliest, never after the last
    ledger = Ledger.open("memory:")
    try:
        body = b"data:".join([*events[:at], b" " + error + b"\n\n", *events[at:]])
        came = run(lambda: outcome([body], mode, ledger))
        booked(ledger, came)
        assert isinstance(came, DeepthriftError)
        partial = getattr(came, "partial", None)
        assert partial is None or sent.text.startswith(partial.text)
    finally:
        ledger.close()


KEYS = st.sampled_from(
    ["choices", "delta", "message", "content", "reasoning_content", "tool_calls", "usage", "index", "function", "error"]
)
GARBAGE = st.one_of(
    st.binary(max_size=120),
    st.binary(max_size=60).map(lambda noise: b"data: " + noise + b"\n\n"),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
        max_leaves=12,
    ).map(lambda value: b"data: " + httpx.Response(200, json=value).content + b"\n\n"),
)


@few
@given(st.lists(GARBAGE, max_size=6), MODES, PLACES)
def test_garbage_is_our_error_or_a_reply_and_booked(garbage: list[bytes], mode: Mode, places: list[int]) -> None:
    ledger = Ledger.open("memory:")
    try:
        booked(ledger, run(lambda: outcome(cut(b"".join(garbage), places), mode, ledger)))
    finally:
        ledger.close()
