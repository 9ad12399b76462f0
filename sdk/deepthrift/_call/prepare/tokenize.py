"""Prompt tokens counted by the server's own tokenizer, where it offers that (llama.cpp and the embedded engine do)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import httpx
from pydantic import BaseModel, ValidationError

from deepthrift._call.endpoints.target import Target
from deepthrift._net.sender import RequestBody
from deepthrift._types.errors import EngineError
from deepthrift._types.messages import JSONObject
from deepthrift._wire.request.conversation import WireMessage
from deepthrift_pricing import Mode

_PATH = "/chat/completions/input_tokens"


class _Counted(BaseModel):
    input_tokens: int


async def engine_count(
    core: Target, messages: Sequence[WireMessage], *, mode: Mode, tools: Sequence[JSONObject] | None
) -> int | None:
    """The prompt tokens of a conversation by the engine's own count, or `None` if the server does not count."""
    if core.profile.tokenizer != "engine":
        return None
    body: dict[str, object] = {**core.profile.switch(mode).body, "messages": list(messages)}
    if tools:
        body["tools"] = list(tools)
    data = json.dumps(body, ensure_ascii=False).encode()
    try:
        async with asyncio.timeout(30.0):
            incoming = await core.sender.send(_PATH, RequestBody(data), len(data), {})
            try:
                answer = await incoming.read_all()
            finally:
                await incoming.close()
        return _Counted.model_validate_json(answer).input_tokens
    except (httpx.HTTPError, ValidationError, OSError, TimeoutError, EngineError):
        return None  # the bound serves, and the call itself will tell what is wrong
