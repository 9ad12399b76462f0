"""35. Text split inside an emoji over two events arrives whole; a stray half becomes U+FFFD; replies always encode."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deepthrift import Reply, TextDelta
from deepthrift.testing import Recorder
from tests.sdk.raw_server import END, Step, part, plain, raw_server, stream_head
from tests.support.doors import ask, events_of, every_door, every_stream

USAGE = '"usage":{"prompt_tokens":20,"completion_tokens":5}'
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]


def stream(*deltas: str, logprobs: tuple[str, ...] = ()) -> list[Step]:
    """A stream of these deltas, each in a packet of its own."""
    tokens = [f',"logprobs":{{"content":[{{"token":"{token}","logprob":-1}}]}}' for token in logprobs]
    tokens += [""] * (len(deltas) - len(tokens))
    events = [
        f'{{"choices":[{{"index":0,"delta":{delta}{more}}}]}}' for delta, more in zip(deltas, tokens, strict=True)
    ]
    events += [f'{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],{USAGE}}}', "[DONE]"]
    return [stream_head(), *(part(f"data: {event}\n\n".encode()) for event in events), END]


def check(reply: Reply) -> None:
    """It can be written down and read again."""
    for text in (reply.text, reply.reasoning or "", *(call.arguments for call in reply.tool_calls)):
        text.encode()
    assert Reply.model_validate_json(reply.model_dump_json()) == reply
    json.dumps(reply.message, ensure_ascii=False).encode()


@every_stream
async def test_halves_of_two_events_are_one_character(door: Any) -> None:
    call = '{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"%s"}}]}'
    steps = stream(
        r'{"content":"ok \ud83d"}', r'{"content":"\ude00!"}', call % r"{\"a\":\"\ud83d", call % r"\ude00\"}",
        logprobs=(r"ok \ud83d", r"\ude00!"),
    )  # fmt: skip
    async with raw_server(steps) as server:
        reply = await ask(door, server.url, "hi", tools=TOOLS, logprobs=True, client={"host": "openai"})
        events = await events_of(door, server.url, "hi", tools=TOOLS, client={"host": "openai"})
    assert reply.text == "ok \U0001f600!"
    assert json.loads(reply.tool_calls[0].arguments) == {"a": "\U0001f600"}
    assert "".join(token.token for token in reply.logprobs or ()) == reply.text
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == reply.text
    str(events).encode()
    check(reply)


@every_stream
async def test_halves_of_the_reasoning_too(door: Any) -> None:
    steps = stream(r'{"reasoning_content":"hm \ud83d"}', r'{"reasoning_content":"\ude00"}', '{"content":"ok"}')
    async with raw_server(steps) as server:
        reply = await ask(door, server.url, "hi", mode="thinking")
    assert (reply.reasoning, reply.text) == ("hm \U0001f600", "ok")
    check(reply)


@every_door
@pytest.mark.parametrize("half", [r"\ud83d", r"\ude00", r"\ude00\ud83d"])
async def test_a_half_without_the_other_costs_a_character(door: Any, half: str) -> None:
    message = f'{{"message":{{"content":"a{half} b{half}"}},"finish_reason":"stop"}}'
    body = f'{{"choices":[{message}],"model":"m{half}",{USAGE}}}'
    pieces = stream(f'{{"content":"a{half}"}}', f'{{"content":" b{half}"}}')
    async with raw_server(pieces if "stream" in door else [plain(body.encode())]) as server:
        reply = await ask(door, server.url, "hi")
    lost = "\ufffd" * half.count("\\")
    assert reply.text == f"a{lost} b{lost}"
    check(reply)


@every_stream
async def test_bytes_of_one_character_in_two_packets(door: Any) -> None:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"\xf0\x9f\x98\x80"},"finish_reason":"stop"}]}\n\n'
    middle = event.index(b"\x9f")
    async with raw_server([stream_head(), part(event[:middle]), 0.01, part(event[middle:]), END]) as server:
        assert (await ask(door, server.url, "hi")).text == "\U0001f600"


async def test_a_recording_of_halves_replays_them(tmp_path: Path) -> None:
    path = tmp_path / "halves.jsonl"
    steps = stream(r'{"content":"ok \ud83d"}', r'{"content":"\ude00!"}', r'{"content":" \ud83d"}')
    async with raw_server(steps) as server:
        for mode in ("record", "replay"):
            recorder = Recorder(path, mode=mode)  # type: ignore[arg-type]
            reply = await ask("async stream", server.url, "hi", max_tokens=20, client={"transport": recorder})
            assert reply.text == "ok \U0001f600! \ufffd"
    assert len(server.requests) == 1
