"""What an answer may look like: blank lines, keep-alives, reasoning in every place (R1–R8, R11, R34)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deepthrift import AsyncClient, Finished, HostProfile, ReasoningDelta, TextDelta
from deepthrift.errors import EmptyResponse, MalformedResponse
from tests.sdk.raw_server import END, part, plain, raw_server, stream_head
from tests.sdk.regressions.wire import USAGE, body_of, completion, event, reply_to
from tests.support.bill_server import Answer, BillServer, RawBody
from tests.support.doors import Door, ask, events_of, every_door, every_stream, settings, through_async


@every_door
async def test_r01_blank_lines_before_the_answer_are_skipped(door: Door) -> None:
    async with BillServer(Answer("Paris.", keep_alive=5)) as server:
        assert (await ask(door, server, max_tokens=50)).text == "Paris."


@every_door
async def test_r01_nothing_but_blank_lines_is_a_typed_error_and_tried_again(door: Door) -> None:
    async with BillServer([RawBody(b"\n\n\n"), Answer("Paris.")]) as server:
        reply = await ask(door, server, max_tokens=50)
    assert reply.text == "Paris."
    assert [attempt.status for attempt in reply.attempts] == ["unknown", "settled"]
    assert reply.cost.certainty == "unknown"
    async with BillServer(RawBody(b"\n\n\n")) as server:
        with pytest.raises(EmptyResponse):
            await ask(door, server, max_tokens=50, client={"max_retries": 0})


@every_door
@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b"no", b'{"choices": 7}', b'{"choices": [{}]}', b"\xff"])
async def test_r02_every_door_raises_the_same_error(door: Door, body: bytes) -> None:
    sent = body if "stream" not in door else b"data: " + body + b"\n\n"
    async with BillServer(RawBody(sent)) as server:
        with pytest.raises((MalformedResponse, EmptyResponse)) as wrong:
            await ask(door, server, max_tokens=50, client={"max_retries": 0})
    assert wrong.value.request is not None
    assert wrong.value.spend


@every_stream
@pytest.mark.parametrize(
    "noise", [b": keep-alive\n\n", b": OPENROUTER PROCESSING\n\n", b"\n\n", b"data: :\n\n", b"data:\n\n"]
)
async def test_r03_keep_alives_of_every_kind_are_ignored_and_reset_the_idle_timer(door: Door, noise: bytes) -> None:
    """Between the two words nothing but noise comes, for longer than a stream may be silent."""
    first, last = event({"content": "Par"}), event({"content": "is."}, "stop", usage=USAGE) + b"data: [DONE]\n\n"
    script: list[Any] = [stream_head(), part(noise + first), 0.35, part(noise), 0.35, part(noise + last), END]
    async with raw_server(script) as server:
        reply = await ask(door, server.url, "Capital of France?", max_tokens=50, client={"idle_timeout": 0.6})
    assert reply.text == "Paris."
    assert not reply.warnings


@every_door
async def test_r04_an_answer_in_the_reasoning_field_is_promoted(door: Door) -> None:
    reply = await reply_to(door, {"content": None, "reasoning_content": "Paris."})
    assert (reply.text, reply.reasoning, reply.mode) == ("Paris.", None, "standard")
    assert any("parser" in warning for warning in reply.warnings)


@every_door
async def test_r04_a_cut_answer_is_not_taken_for_one(door: Door) -> None:
    reply = await reply_to(door, {"content": None, "reasoning_content": "Let me"}, "length")
    assert (reply.text, reply.reasoning) == ("", "Let me")


@every_door
async def test_r05_a_closing_tag_alone_ends_the_reasoning(door: Door) -> None:
    async with BillServer(Answer("Paris.", reasoning_field="inline")) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=50)
    assert (reply.text, reply.reasoning) == ("Paris.", "The user asks for a capital.")


@every_stream
async def test_r05_a_host_known_to_think_in_the_text_streams_it_as_reasoning(door: Door) -> None:
    profile = HostProfile.named("vllm").model_copy(update={"reasoning_in_text": True})
    async with BillServer(Answer("Paris.", reasoning_field="inline")) as server:
        events = await events_of(door, server, mode="thinking", max_tokens=50, client={"host": profile})
    assert "".join(e.text for e in events if isinstance(e, ReasoningDelta)) == "The user asks for a capital."
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "Paris."
    [end] = [e for e in events if isinstance(e, Finished)]
    assert not end.reply.warnings


@every_stream
async def test_r06_a_chunk_may_carry_reasoning_and_content(door: Door) -> None:
    reply = await reply_to(door, {"content": "Paris.", "reasoning_content": "Hm."}, mode="thinking")
    assert (reply.text, reply.reasoning) == ("Paris.", "Hm.")


@every_door
@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "both"])
async def test_r07_reasoning_under_either_name_and_under_both_is_read_once(door: Door, field: Any) -> None:
    async with BillServer(Answer("Paris.", reasoning="Hm, a capital.", reasoning_field=field)) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=50)
    assert (reply.text, reply.reasoning, reply.mode) == ("Paris.", "Hm, a capital.", "thinking")
    assert not reply.warnings


@every_door
@pytest.mark.parametrize("empty", [{"content": None}, {}, {"content": ""}])
async def test_r08_content_may_be_null_or_missing_while_it_thinks(door: Door, empty: dict[str, Any]) -> None:
    if "stream" in door:
        body = event({**empty, "reasoning_content": "Hm."}) + body_of(
            {"content": "Paris.", "reasoning_content": None}, door
        )
    else:
        body = completion({"content": "Paris.", "reasoning_content": "Hm."})
    async with BillServer(RawBody(body)) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=50)
    assert (reply.text, reply.reasoning) == ("Paris.", "Hm.")


@every_door
async def test_r11_thoughts_dumped_into_the_answer_are_split_off(door: Door) -> None:
    reply = await reply_to(door, {"content": "The user asks.\n\n</think>\n\nParis.", "reasoning": ""}, mode="thinking")
    assert (reply.text, reply.reasoning, reply.mode) == ("Paris.", "The user asks.", "thinking")
    assert reply.warnings


@every_door
async def test_r34_reasoning_is_part_of_the_reply(door: Door) -> None:
    async with BillServer(Answer("Paris.")) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=50)
    assert reply.reasoning == "The user asks for a capital."
    assert 0 < reply.usage.reasoning_tokens < reply.usage.completion_tokens


async def test_a_stream_that_is_no_stream_is_read_all_the_same() -> None:
    """Some gateways answer a streamed request with one JSON, and a plain one with a stream."""
    async with (
        raw_server([plain(json.dumps(json.loads(completion({"content": "Paris."})), indent=2).encode())]) as server,
        AsyncClient(**settings(server.url)) as client,
    ):
        reply = await through_async(client, "Capital of France?", streamed=True, max_tokens=50)
    assert reply.text == "Paris."
    async with (
        raw_server([plain(event({"content": "Paris."}, "stop", usage=USAGE) + b"data: [DONE]\n\n")]) as server,
        AsyncClient(**settings(server.url)) as client,
    ):
        assert (await client.chat("Capital of France?", max_tokens=50)).text == "Paris."


async def test_the_end_mark_reaches_the_caller_before_the_body_ends() -> None:
    script = [stream_head(), part(event({"content": "Paris."}, "stop", usage=USAGE) + b"data: [DONE]\n\n"), None]
    async with raw_server(script) as server, AsyncClient(**settings(server.url)) as client:
        async with client.stream("Capital of France?", max_tokens=50) as stream:
            events = [event async for event in stream]
        assert isinstance(events[-1], Finished)
        assert stream.reply.cost.certainty == "exact"
