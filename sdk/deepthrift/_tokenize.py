"""Prompt tokens counted by the server's own tokenizer, where it offers that (llama.cpp and the embedded engine do)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import httpx
from pydantic import BaseModel, ValidationError

from deepthrift._core import Core
from deepthrift._endpoint import RequestBody
from deepthrift._wire.conversation import WireMessage


class _Prompt(BaseModel):
    prompt: str


class _Tokens(BaseModel):
    tokens: list[int]


async def engine_count(core: Core, messages: Sequence[WireMessage]) -> int | None:
    """The prompt tokens of a conversation by the engine's own count, or `None` if the server does not count."""
    if core.profile.tokenizer != "engine":
        return None
    try:
        rendered = await _post(core, "/apply-template", {"messages": list(messages)})
        prompt = _Prompt.model_validate_json(rendered).prompt
        counted = await _post(core, "/tokenize", {"content": prompt, "add_special": True, "parse_special": True})
        return len(_Tokens.model_validate_json(counted).tokens)
    except (httpx.HTTPError, ValidationError, OSError, TimeoutError):
        return None


async def _post(core: Core, path: str, value: object) -> bytes:
    data = json.dumps(value, ensure_ascii=False).encode()
    async with asyncio.timeout(30.0):
        incoming = await core.endpoint.send(path, RequestBody(data), len(data), {}, beside=True)
        try:
            return await incoming.read_all()
        finally:
            core.endpoint.close_behind(incoming)
