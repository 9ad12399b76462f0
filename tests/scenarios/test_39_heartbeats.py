"""39. Heartbeats of every form never end a stream, and no framing that gateways use loses an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deepthrift.errors import DeepthriftError, MalformedResponse
from deepthrift_pricing import Ledger
from tests.sdk.raw_server import END, Step, part, plain, raw_server, stream_head
from tests.support.doors import ask, every_stream

USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
BEATS = [
    b": keep-alive\n\n",
    b"data: null\n\n",
    b"data: {}\n\n",
    b"data: []\n\n",
    b'data: ""\n\n',
    b"data:\n\n",
    b"data:    \n\n",
    b"   \n\n",
    b"data: ping\n\n",
    b'data: {"type": "ping"}\n\n',
    b'data: {"type":"keepalive","sequence_number":3}\n\n',
    b'event: ping\ndata: {"type": "ping"}\n\n',
    b"event: heartbeat\ndata: 17:03:11\n\n",
    b'data: {"object":"chat.completion.heartbeat","created":1}\n\n',
    b'data: {"status":"processing","message":"3 requests before yours"}\n\n',
    b'data: {"choices": null}\n\n',
    b'data: {"x_gateway": {"region": "eu", "hops": 2}}\n\n',
    b"data: data: {}\n\n",
    b"{}\n\n",
]


def chunk(delta: dict[str, str], finish: str | None = None, usage: object = None) -> bytes:
    value = {"id": "c1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": usage}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


PARTS = [chunk({"reasoning_content": "Hm"}), chunk({"reasoning_content": "m"}), chunk({"content": "4"})]
REST = [chunk({"content": "2"}), chunk({}, "stop", USAGE), b"data: [DONE]\n\n"]


def steps(*events: bytes, end: bytes = b"\n") -> list[Step]:
    return [stream_head(), *(part(event.replace(b"\n", end)) for event in events), END]


@every_stream
@pytest.mark.parametrize("beat", BEATS, ids=lambda beat: beat.decode().strip().replace("\n", "+")[:40])
async def test_a_heartbeat_anywhere_changes_nothing(door: Any, beat: bytes) -> None:
    ledger = Ledger.open("memory:")
    between = [piece for event in [*PARTS, *REST] for piece in (beat, event)]
    async with raw_server(steps(*between)) as server:
        reply = await ask(door, server.url, "hi", mode="thinking", client={"ledger": ledger})
    assert (reply.reasoning, reply.text, reply.finish_reason) == ("Hmm", "42", "stop")
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (20, 5)
    assert len(server.requests) == len(ledger.attempts()) == 1
    ledger.close()


@every_stream
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
async def test_doubled_prefixes_and_line_endings(door: Any, end: bytes) -> None:
    doubled = [event.replace(b"data: ", b"data: data: ") for event in [*PARTS, *REST]]
    lines = b"".join(event.removesuffix(b"\n") for event in [*PARTS, *REST])
    for events in (doubled, [lines], [b"\xef\xbb\xbf", *PARTS, *REST]):
        async with raw_server(steps(*events, end=end)) as server:
            reply = await ask(door, server.url, "hi", mode="thinking")
        assert (reply.reasoning, reply.text, reply.finish_reason) == ("Hmm", "42", "stop")


@every_stream
async def test_a_host_that_sends_nothing_else_has_not_answered(door: Any) -> None:
    async with raw_server(steps(b"data: {}\n\n", b"data: [DONE]\n\n")) as server:
        with pytest.raises(DeepthriftError):
            await ask(door, server.url, "hi", client={"max_retries": 0})
    async with raw_server(steps(b'data: {"answer": "The gate is closed."}\n\n', b"data: [DONE]\n\n")) as server:
        with pytest.raises(MalformedResponse, match=r"not a chunk of a chat.*The gate is closed"):
            await ask(door, server.url, "hi", client={"max_retries": 0})


@pytest.mark.parametrize("door", ["async", "sync"])
async def test_events_in_the_place_of_a_plain_answer(door: Any) -> None:
    body = b"".join(piece for event in [*PARTS, *REST] for piece in (*BEATS, event))
    for data in (body, body.replace(b"\n", b"\r\n")):
        async with raw_server([plain(data)]) as server:
            reply = await ask(door, server.url, "hi", mode="thinking")
        assert (reply.reasoning, reply.text, reply.finish_reason) == ("Hmm", "42", "stop")


@every_stream
@pytest.mark.parametrize("number", ["null", "-Infinity", "NaN"])
async def test_a_log_probability_of_nothing_costs_no_answer(door: Any, number: str) -> None:
    best = f'[{{"token":"Yo","logprob":{number}}}]'
    logprobs = f'{{"content":[{{"token":"Hi","logprob":{number},"top_logprobs":{best}}}]}}'
    event = f'{{"choices":[{{"index":0,"delta":{{"content":"Hi"}},"logprobs":{logprobs},"finish_reason":"stop"}}]}}'
    async with raw_server(steps(f"data: {event}\n\n".encode(), b"data: [DONE]\n\n")) as server:
        reply = await ask(door, server.url, "hi", logprobs=True, client={"host": "openai"})
    assert reply.text == "Hi"
    assert [(token.token, token.logprob) for token in reply.logprobs or ()] == [("Hi", None)]
    assert "Hi" in reply.model_dump_json()
