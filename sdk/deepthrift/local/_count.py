"""Exact prompt counts from the engine itself, for models whose tokenizer is not ours."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from deepthrift.errors import MalformedResponse


class _Count(BaseModel):
    model_config = ConfigDict(strict=True)

    input_tokens: int


class _Prompt(BaseModel):
    prompt: str


class _Tokens(BaseModel):
    tokens: list[int]


async def count_prompt(http: httpx.AsyncClient, root: str, body: Mapping[str, object]) -> int:
    """Count the prompt of a chat request exactly as a llama.cpp server will, without running it.

    Args:
        http: A client that sends the server's key.
        root: The server's address, without `/v1`.
        body: The body that would be sent to `/v1/chat/completions`: template options and tools count too.

    Raises:
        MalformedResponse: The server does not count as llama.cpp's does.
        httpx.HTTPError: The server cannot be reached, or refuses the request.
    """
    root = root.rstrip("/")
    answer = await http.post(f"{root}/v1/chat/completions/input_tokens", json=dict(body))
    try:
        if answer.status_code != 404:
            answer.raise_for_status()
            return _Count.model_validate_json(answer.content).input_tokens
        # Servers from before that address existed: render, then tokenize.
        answer = await http.post(f"{root}/apply-template", json=dict(body))
        answer.raise_for_status()
        text = _Prompt.model_validate_json(answer.content).prompt
        answer = await http.post(f"{root}/tokenize", json={"content": text, "add_special": True, "parse_special": True})
        answer.raise_for_status()
        return len(_Tokens.model_validate_json(answer.content).tokens)
    except ValidationError:
        raise MalformedResponse(
            f"The server at {root!r} does not count prompts as llama.cpp does: give its profile another tokenizer."
        ) from None
