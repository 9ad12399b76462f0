"""Bugs that other clients shipped (R1–R37 of the project's list), each held off by name.

R13 and R12's parsing, R20's typed error and the prices of R33 and R37 have their own pages of tests as well.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from deepthrift import AsyncClient, Finished, HostProfile, ReasoningDelta, TextDelta
from deepthrift.errors import (
    AuthenticationFailed,
    EmptyResponse,
    InsufficientBalance,
    InvalidRequestError,
    MalformedResponse,
    StreamInterrupted,
    ToolCallsMissing,
    UnsupportedFeature,
)
from deepthrift_pricing import Ledger
from tests.sdk.raw_server import END, part, plain, raw_server, stream_head
from tests.support.bill_server import Answer, BillServer, Failure, RawBody
from tests.support.doors import Door, ask, every_door, every_stream, settings, through_async

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
TOOL = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}
V31_CALL = (
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>lookup<｜tool▁sep｜>"
    '{"city": "Paris"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
)


def completion(message: dict[str, Any], finish: str = "stop", **rest: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return json.dumps({"id": "c", "model": "m", "choices": [choice], "usage": USAGE, **rest}).encode()


def event(delta: dict[str, Any] | None, finish: str | None = None, **rest: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"id": "c", "model": "m", "choices": choices, **rest}).encode() + b"\n\n"


def body_of(message: dict[str, Any], door: str, finish: str = "stop") -> bytes:
    """One answer, in the form that the door asks for."""
    if "stream" not in door:
        return completion(message, finish)
    return event(message) + event({}, finish) + event(None, usage=USAGE) + b"data: [DONE]\n\n"


async def reply_to(door: Door, message: dict[str, Any], finish: str = "stop", **call: Any) -> Any:
    async with BillServer(RawBody(body_of(message, door, finish))) as server:
        return await ask(door, server, "Capital of France?", max_tokens=50, **call)


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


@pytest.mark.parametrize(
    "noise", [b": keep-alive\n\n", b": OPENROUTER PROCESSING\n\n", b"\n\n", b"data: :\n\n", b"data:\n\n"]
)
async def test_r03_keep_alives_of_every_kind_are_ignored_and_reset_the_idle_timer(noise: bytes) -> None:
    script: list[Any] = [stream_head()]
    for piece in (event({"content": "Par"}), event({"content": "is."}, "stop", usage=USAGE), b"data: [DONE]\n\n"):
        script += [part(noise), 0.2, part(noise), 0.2, part(piece)]
    async with (
        raw_server([*script, END]) as server,
        AsyncClient(**settings(server.url, idle_timeout=0.35)) as client,
    ):
        reply = await through_async(client, "Capital of France?", streamed=True, max_tokens=50)
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


async def test_r05_a_host_known_to_think_in_the_text_streams_it_as_reasoning() -> None:
    profile = HostProfile.named("vllm").model_copy(update={"reasoning_in_text": True})
    async with (
        BillServer(Answer("Paris.", reasoning_field="inline")) as server,
        AsyncClient(**settings(server, host=profile)) as client,
        client.stream("Capital of France?", mode="thinking", max_tokens=50) as stream,
    ):
        events = [event async for event in stream]
    assert "".join(e.text for e in events if isinstance(e, ReasoningDelta)) == "The user asks for a capital."
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "Paris."
    assert not stream.reply.warnings


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
async def test_r09_a_switch_that_is_ignored_is_told(door: Door) -> None:
    async with BillServer(Answer("Paris."), dialect="thinking-type") as server:
        reply = await ask(door, server, mode="thinking", max_tokens=50)
    assert (reply.mode, reply.requested_mode) == ("standard", "thinking")
    assert any("no reasoning came back" in warning for warning in reply.warnings)


def switched(name: str) -> bool:
    """Whether a host has an off form; the others have no documented switch, or one that only adds to what is sent."""
    off = HostProfile.named(name).switch("standard")
    return bool(off.body or off.headers or off.model)


@pytest.mark.parametrize("host", [name for name in HostProfile.names() if switched(name)])
@pytest.mark.parametrize("mode", ["standard", "thinking"])
async def test_r10_the_switch_is_always_sent_off_too(host: str, mode: Any) -> None:
    other = "thinking" if mode == "standard" else "standard"
    model = {"model": None} if host == "deepseek" else {}
    async with BillServer(Answer("Paris."), default_mode=other) as server:  # type: ignore[arg-type]
        reply = await ask("async", server, mode=mode, max_tokens=50, client={"host": host, **model})
    assert server.requests[0].mode_asked == mode
    assert reply.mode == mode


@every_door
async def test_r11_thoughts_dumped_into_the_answer_are_split_off(door: Door) -> None:
    reply = await reply_to(door, {"content": "The user asks.\n\n</think>\n\nParis.", "reasoning": ""}, mode="thinking")
    assert (reply.text, reply.reasoning, reply.mode) == ("Paris.", "The user asks.", "thinking")
    assert reply.warnings


@every_door
async def test_r12_tool_tokens_inside_the_reasoning_are_read(door: Door) -> None:
    reply = await reply_to(door, {"content": None, "reasoning_content": f"I look. {V31_CALL}"}, tools=[TOOL])
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("lookup", '{"city": "Paris"}')]
    assert reply.finish_reason == "tool_calls"
    assert reply.warnings


@every_door
async def test_r13_tool_calls_left_as_text_are_read(door: Door) -> None:
    reply = await reply_to(door, {"content": f"I look. {V31_CALL}", "tool_calls": []}, "tool_calls", tools=[TOOL])
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("lookup", '{"city": "Paris"}')]
    assert reply.text == "I look."


@every_door
async def test_r13_a_promised_call_that_is_not_there_is_an_error_with_what_was_said(door: Door) -> None:
    with pytest.raises(ToolCallsMissing, match="tool parser") as caught:
        await reply_to(door, {"content": "I look.", "tool_calls": []}, "tool_calls", tools=[TOOL])
    partial = caught.value.partial
    assert partial is not None
    assert (partial.text, partial.tool_calls) == ("I look.", ())
    assert any("no call" in warning for warning in partial.warnings)
    assert caught.value.spend == partial.cost.total
    assert [attempt.status for attempt in partial.attempts] == ["settled"]


@every_door
@pytest.mark.parametrize("host", ["deepseek", "vllm", "llama.cpp", "openai"])
async def test_r14_r28_tools_in_thinking_mode_are_refused_before_sending(door: Door, host: str) -> None:
    async with BillServer() as server:
        with pytest.raises(UnsupportedFeature, match="standard mode can"):
            await ask(door, server, mode="thinking", tools=[TOOL], client={"host": host, "model": None})
        assert not server.connections


@every_door
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "lookup"}}])
async def test_r15_a_forced_tool_is_refused_where_it_cannot_be(door: Door, choice: Any) -> None:
    async with BillServer() as server:
        with pytest.raises(UnsupportedFeature, match="tool"):
            await ask(door, server, tools=[TOOL], tool_choice=choice, client={"host": "llama.cpp"})
        with pytest.raises(UnsupportedFeature, match="tool"):
            await ask(door, server, mode="thinking", tools=[TOOL], tool_choice=choice)
        assert not server.connections


HISTORY: list[Any] = [
    {"role": "user", "content": [{"type": "text", "text": "Capital of"}, {"type": "text", "text": "France?"}]},
    {"role": "assistant", "content": "\n\nParis.", "reasoning_content": "Hm.", "tool_calls": []},
    {"role": "user", "content": "And Spain?"},
]


@every_door
async def test_r16_r19_r27_r35_history_is_sent_as_v31_wants_it(door: Door) -> None:
    before = json.dumps(HISTORY)
    async with BillServer(Answer("Madrid.")) as server:
        await ask(door, server, HISTORY, max_tokens=50)
    assert server.requests[0].messages == [
        {"role": "user", "content": "Capital of\nFrance?"},
        {"role": "assistant", "content": "Paris."},
        {"role": "user", "content": "And Spain?"},
    ]
    assert json.dumps(HISTORY) == before


async def test_r17_reasoning_is_sent_back_where_the_host_wants_it() -> None:
    profile = HostProfile.named("vllm").model_copy(update={"history": "keep"})
    async with BillServer(Answer("Madrid.")) as server:
        await ask("async", server, HISTORY, max_tokens=50, client={"host": profile})
    assert server.requests[0].messages[1]["reasoning_content"] == "Hm."


async def test_r18_successive_messages_of_one_role_can_be_merged() -> None:
    profile = HostProfile.named("vllm").model_copy(update={"merge_roles": True})
    two: Any = [{"role": "user", "content": "Capital"}, {"role": "user", "content": "of France?"}]
    async with BillServer(Answer("Paris.")) as server:
        await ask("async", server, two, max_tokens=50, client={"host": profile})
        await ask("async", server, two, max_tokens=50)
    assert [len(request.messages) for request in server.requests] == [1, 2]


@every_door
@pytest.mark.parametrize("text", ["", "   \n\n "])
async def test_r20_a_blank_json_answer_is_never_silent(door: Door, text: str) -> None:
    reply = await reply_to(door, {"content": text}, response_format={"type": "json_object"})
    assert reply.text == text
    assert any("blank" in warning for warning in reply.warnings)


async def test_r21_what_a_mode_cannot_do_is_data() -> None:
    profile = HostProfile.parse('name = "old"\n[thinking]\nfeatures = []\n[standard]\nfeatures = ["json_object"]')
    async with BillServer(Answer("{}")) as server:
        with pytest.raises(UnsupportedFeature, match="json_object"):
            await ask(
                "async", server, mode="thinking", response_format={"type": "json_object"}, client={"host": profile}
            )
        assert not server.connections
        await ask("async", server, max_tokens=5, response_format={"type": "json_object"}, client={"host": profile})


@every_door
@pytest.mark.parametrize("shape", ["deepseek", "documented", "openai", "sglang"])
@pytest.mark.parametrize("when", ["own-chunk", "last-chunk", "every-chunk"])
async def test_r22_r23_r24_r25_usage_of_every_shape_at_every_place(door: Door, shape: Any, when: Any) -> None:
    answer = Answer("Paris.", prompt_tokens=100, cache_hit=64, reasoning="Hm, hm.", usage=when, usage_shape=shape)
    async with BillServer(answer) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=50)
    assert reply.usage.prompt_tokens == 100
    assert (reply.usage.cache_hit_tokens, reply.usage.cache_miss_tokens) == (64, 36)
    assert reply.cost.amount == server.bill.total
    assert reply.cost.certainty == "exact"


@every_door
async def test_r24_without_usage_the_cost_is_estimated_not_zero(door: Door) -> None:
    answer = Answer([" the"] * 20, reasoning=[" the"] * 10, prompt_tokens=2000, usage="absent")
    ledger = Ledger.open("memory:")
    async with BillServer(answer) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=50, client={"ledger": ledger})
    assert reply.cost.certainty == reply.usage.certainty == "estimated"
    assert reply.cost.amount == server.bill.total
    assert (reply.usage.completion_tokens, reply.usage.reasoning_tokens) == (30, 10)
    assert reply.usage.notes
    ledger.close()


@every_door
async def test_r26_max_tokens_above_the_hosts_limit_is_told_or_clamped(door: Door) -> None:
    deepseek = HostProfile.named("deepseek")
    client = {"host": deepseek, "model": None}
    async with BillServer() as server:
        with pytest.raises(InvalidRequestError, match="8,192"):
            await ask(door, server, "Hi", max_tokens=9000, client=client)
        assert not server.connections
        clamping = {**client, "host": deepseek.model_copy(update={"over_limit": "clamp"})}
        reply = await ask(door, server, "Hi", max_tokens=9000, client=clamping)
        assert server.requests[0].max_tokens == 8192
    assert any("8,192" in warning for warning in reply.warnings)


@every_stream
async def test_r29_an_error_in_mid_stream_keeps_the_partial_answer(door: Door) -> None:
    async with BillServer(Answer("Paris is a city.", error_after=2)) as server:
        with pytest.raises(StreamInterrupted) as broken:
            await ask(door, server, max_tokens=50)
    assert broken.value.partial is not None
    assert broken.value.partial.text == "Paris is"
    assert broken.value.spend == broken.value.partial.cost.total


@every_door
async def test_r30_errors_are_read_by_content_not_by_content_type(door: Door) -> None:
    refusal = Failure(401, "wrong token", shape="siliconflow", content_type="application/octet-stream")
    async with BillServer(refusal) as server:
        with pytest.raises(AuthenticationFailed, match="wrong token"):
            await ask(door, server, max_tokens=50)


@every_door
async def test_r30_answers_too(door: Door) -> None:
    async with BillServer(
        RawBody(body_of({"content": "Paris."}, door), content_type="application/octet-stream")
    ) as server:
        assert (await ask(door, server, max_tokens=50)).text == "Paris."


@every_door
async def test_r31_an_empty_balance_is_asked_once(door: Door) -> None:
    async with BillServer(Failure(402, "Insufficient Balance")) as server:
        with pytest.raises(InsufficientBalance):
            await ask(door, server, max_tokens=50)
        assert len(server.requests) == 1


@every_door
@pytest.mark.parametrize("reason", ["insufficient_system_resource", "aborted", "error", "a_new_one"])
async def test_r32_unknown_finish_reasons_pass(door: Door, reason: str) -> None:
    reply = await reply_to(door, {"content": "Paris."}, reason)
    assert (reply.text, reply.finish_reason) == ("Paris.", reason)


@every_door
async def test_r34_reasoning_is_part_of_the_reply(door: Door) -> None:
    async with BillServer(Answer("Paris.")) as server:
        reply = await ask(door, server, mode="thinking", max_tokens=50)
    assert reply.reasoning == "The user asks for a capital."
    assert 0 < reply.usage.reasoning_tokens < reply.usage.completion_tokens


async def test_r36_extra_fields_pass_through_and_win() -> None:
    extra = {"thinking": {"type": "enabled"}, "chat_template_kwargs": {"more": 1}, "user_id": "u"}
    async with BillServer(Answer("Paris.")) as server:
        await ask("async", server, max_tokens=50, extra_body=extra, client={"extra_body": {"user_id": "v", "x": 1}})
    body = server.requests[0].body
    assert body["thinking"] == {"type": "enabled"}
    assert body["chat_template_kwargs"] == {"thinking": False, "more": 1}
    assert (body["user_id"], body["x"]) == ("u", 1)


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
