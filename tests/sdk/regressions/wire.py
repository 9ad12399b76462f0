"""What the regressions send and are sent: answers written as bytes, in the form that a door asks for."""

from __future__ import annotations

import json
from typing import Any

from deepthrift import Reply
from tests.support.bill_server import BillServer, RawBody
from tests.support.doors import Door, ask

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


async def reply_to(door: Door, message: dict[str, Any], finish: str = "stop", **call: Any) -> Reply:
    async with BillServer(RawBody(body_of(message, door, finish))) as server:
        return await ask(door, server, "Capital of France?", max_tokens=50, **call)
