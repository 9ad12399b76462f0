"""Made-up conversations of every shape that V3.1's chat template knows, the same ones for the same seed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from deepthrift_pricing import Mode

TEXTS: Final = (
    "",
    " ",
    "Hi",
    "What is 2 + 2?",
    "  leading and trailing  ",
    "two\n\nparagraphs\n",
    "你好，世界。请介绍一下你自己。",
    "Größe, naïve café, Ελληνικά, русский, العربية, हिन्दी, ไทย",
    "👩‍👩‍👧‍👦 🏳️‍🌈 ☕",
    "def f(x):\n    return x**2  # square\n",
    '{"json": [1, 2.5, null, true], "text": "q\\"uote"}',
    "{{ jinja }} {% braces %} {# comment #}",
    '<b>html & entities</b> it\'s "quoted"',
    "tab\tcarriage\r\nreturn",
    "1234567890 3.14159 1,000,000",
    "\u200b\ufeffzero width\u200d",
)
THOUGHTS: Final = (
    "",
    "<think>Hmm</think>",
    "<think>\n\n</think>\n\n",
    "thoughts with no opening</think>",
    "a</think>b</think>",
)
PARAMETERS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"type": "object", "properties": {"city": {"type": "string", "description": "Stadt, 城市"}}, "required": ["city"]},
    {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 0}, "deep": {"anyOf": [{"type": "null"}, {}]}},
    },
)
ARGUMENTS: Final = (
    "{}",
    '{"city":"Paris"}',
    '{"city": "München", "n": [1, 2.0, 1e5]}',
    '{"text":"a\\nb\\u00e9"}',
    "not JSON",
)


@dataclass(frozen=True)
class Conversation:
    """A conversation and how it is to be rendered."""

    messages: list[dict[str, Any]]
    mode: Mode
    tools: list[dict[str, Any]] | None
    prefix: bool


def conversations(count: int, *, seed: int = 0, json_arguments: bool = False) -> Iterator[Conversation]:
    """Conversations with system messages anywhere, tools, tool calls and results, thoughts in the history, prefixes.

    Args:
        count: How many.
        seed: What they depend on, and nothing else.
        json_arguments: Only tool arguments that are JSON, as an engine may insist on.
    """
    random = Random(seed)
    arguments = [text for text in ARGUMENTS if text.startswith("{")] if json_arguments else list(ARGUMENTS)
    for _ in range(count):
        messages: list[dict[str, Any]] = []
        for _ in range(random.randint(1, 9)):
            messages += _messages(random, arguments)
        prefix = random.random() < 0.15
        if prefix:
            messages += [{"role": "user", "content": _text(random)}] if random.random() < 0.8 else []
            messages.append({"role": "assistant", "content": _answer(random), "prefix": True})
        mode: Mode = random.choice(("standard", "thinking"))
        tools = _tools(random) if random.random() < 0.3 else None
        yield Conversation(messages, mode, tools, prefix)


def _messages(random: Random, arguments: list[str]) -> list[dict[str, Any]]:
    kind = random.choices(("user", "assistant", "calls", "tool", "system"), (6, 5, 2, 1, 1))[0]
    if kind == "calls":
        calls = [_call(random, arguments) for _ in range(random.randint(1, 3))]
        content = random.choice((None, "", "Let me look that up.", _text(random)))
        results = [{"role": "tool", "tool_call_id": call["id"], "content": _text(random)} for call in calls]
        return [{"role": "assistant", "content": content, "tool_calls": calls}, *results[: random.randint(0, 3)]]
    if kind == "tool":
        return [{"role": "tool", "tool_call_id": "lost", "content": _text(random)}]
    if kind == "assistant":
        message = {"role": "assistant", "content": _answer(random)}
        if random.random() < 0.2:
            message["reasoning_content"] = "thoughts that are not sent"
        return [message]
    return [{"role": kind, "content": _text(random)}]


def _text(random: Random) -> str:
    return random.choice(TEXTS) + random.choice(TEXTS)


def _answer(random: Random) -> str:
    return random.choice(THOUGHTS) + _text(random)


def _call(random: Random, arguments: list[str]) -> dict[str, Any]:
    function = {"name": random.choice(("f", "get_weather", "名前")), "arguments": random.choice(arguments)}
    return {"id": f"call_{random.randrange(10**6)}", "type": "function", "function": function}


def _tools(random: Random) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {
                "name": f"tool_{place}",
                "description": _text(random),
                "parameters": json.loads(json.dumps(random.choice(PARAMETERS))),
            },
        }
        for place in range(random.randint(1, 3))
    ]
