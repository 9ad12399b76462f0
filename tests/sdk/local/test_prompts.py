"""The engine's prompts for V3.1 weights, byte for byte as DeepSeek's own template renders them, and their counts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import pytest

from deepthrift._call.prepare.counting import count_and_ids
from deepthrift._types.options import Options
from deepthrift._wire.request.request import build_request
from deepthrift.local import Engine
from deepthrift_pricing.tokens import tools_prompt
from tests.support.conversations import Conversation, conversations
from tests.support.token_goldens import official_prompt

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600), pytest.mark.xdist_group("v31-reference")]

WANTED = 600
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
# The instructions as vLLM's and SGLang's templates for V3.1 have them (tool_chat_template_deepseekv31.jinja).
TOOL_BLOCK = """\
## Tools
You have access to the following tools:

### get_weather
Description: The weather in a city.

Parameters: {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

IMPORTANT: ALWAYS adhere to this exact format for tool use:
<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>tool_call_arguments<｜tool▁call▁end｜>\
{{additional_tool_calls}}<｜tool▁calls▁end｜>

Where:

- `tool_call_name` must be an exact match to one of the available tools
- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema
- For multiple tool calls, chain them directly without separators or spaces
"""


def fitting() -> Iterator[Conversation]:
    """Conversations that a client may send: what it refuses, or the engine does, is left out."""
    for made in conversations(4 * WANTED, seed=11, json_arguments=True):
        roles = [message["role"] for message in made.messages]
        if made.prefix and roles[-2:-1] in ([], ["assistant"]):
            continue
        if (roles[-1] == "assistant") is made.prefix:
            yield made


def with_tools_told(messages: Sequence[Mapping[str, Any]], tools: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """The conversation with the tools already in its system prompt, for a template that knows none."""
    systems = [message["content"] for message in messages if message["role"] == "system"]
    rest = [dict(message) for message in messages if message["role"] != "system"]
    told = "\n\n".join(systems) + ("\n\n" + tools_prompt(tools) if tools else "")
    return [{"role": "system", "content": told}, *rest] if told else rest


def test_the_tools_are_told_in_the_words_that_v31_was_trained_on() -> None:
    assert tools_prompt([TOOL]) == TOOL_BLOCK


@pytest.mark.slow
def test_prompts_are_deepseeks_own_and_counted_alike(engine: Engine) -> None:
    seen: dict[str, int] = {}
    profile = engine.profile
    headers = {"Authorization": f"Bearer {engine.key}"}
    with httpx.Client(base_url=engine.url, headers=headers, timeout=60, trust_env=False) as http:
        for made in fitting():
            if seen.get("all", 0) == WANTED:
                break
            messages: Any = made.messages
            options = Options(messages=messages, mode=made.mode, tools=made.tools)
            request = build_request(
                options,
                profile,
                model=engine.model,
                messages=made.messages,
                max_tokens=1,
                send_max_tokens=True,
                stream=False,
                extra_body={},
            )
            body = json.loads(request.body)
            prompt = body.get("prompt") or http.post("/apply-template", json=body).json()["prompt"]
            told = with_tools_told(made.messages, made.tools)
            assert "<｜begin▁of▁sentence｜>" + prompt == official_prompt(told, made.mode, prefix=made.prefix)
            counted = count_and_ids(profile, engine.model, made.messages, mode=made.mode, tools=made.tools)[0]
            asked = {"content": prompt, "add_special": True, "parse_special": True}
            engines = len(http.post("/tokenize", json=asked).json()["tokens"])
            assert (counted.tokens, counted.certainty) == (engines, "exact")
            if "messages" in body and seen.get("all", 0) % 10 == 0:
                assert http.post("/v1/chat/completions/input_tokens", json=body).json()["input_tokens"] == engines
            for kind in kinds(made):
                seen[kind] = seen.get(kind, 0) + 1
    assert seen["all"] == WANTED
    assert min(seen.values()) >= 30
    assert len(seen) == 10


def kinds(made: Conversation) -> Iterator[str]:
    text = str(made.messages)
    roles = [message["role"] for message in made.messages]
    yield "all"
    yield made.mode
    yield from (kind for kind in ("system", "tool") if kind in roles)
    if made.tools:
        yield "tools"
    if made.prefix:
        yield "prefix"
    if roles.count("user") > 2:
        yield "turns"
    if "</think>" in text or "reasoning_content" in text:
        yield "thoughts"
    if not text.isascii():
        yield "unicode"
