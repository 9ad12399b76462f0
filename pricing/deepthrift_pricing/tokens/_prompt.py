"""Conversations as prompts: rendered, encoded and counted exactly, or bounded for unknown tokenizers."""

from __future__ import annotations

import json
from typing import Final, Literal, TypeAlias

from deepthrift_pricing._values.errors import InvalidRequestError
from deepthrift_pricing._values.usage import Mode
from deepthrift_pricing.tokens._special import SPECIAL_TOKENS
from deepthrift_pricing.tokens._template import (
    Conversation,
    Frame,
    Segment,
    Tools,
    plain_text,
    segments,
    tools_segments,
)
from deepthrift_pricing.tokens._text import encode, encode_raw

Literals: TypeAlias = Literal["text", "control"]
"""What text of a message that reads like a special token is taken for: the text it is, or that token."""

FRAME_PER_CONVERSATION: Final = 64
FRAME_PER_MESSAGE: Final = 16
FRAME_FOR_TOOLS: Final = 512


def render(messages: Conversation, *, mode: Mode, tools: Tools | None = None, prefix: bool = False) -> str:
    """The prompt that V3.1 gets for a conversation, as DeepSeek's chat template writes it, begin-of-sentence included.

    System messages are gathered at the front, joined by an empty line; the tools follow them. In earlier answers,
    everything up to `</think>` is cut and `reasoning_content` is left out. After a user message the prompt ends with
    `<think>` or `</think>`, by mode; after tool results it just ends, and the model continues.

    Args:
        messages: The conversation, or a string for one user message.
        mode: `"standard"` or `"thinking"`.
        tools: Tools that the model may call, in the OpenAI shape.
        prefix: The last message is the beginning of an answer: its end token is left off, so that the model goes on.
            The key `prefix` in that message says the same.

    Raises:
        InvalidRequestError: The conversation cannot be rendered; the message says where and why.
    """
    return _text_of(segments(messages, mode=mode, tools=tools, prefix=prefix))


def encode_messages(
    messages: Conversation,
    *,
    mode: Mode,
    tools: Tools | None = None,
    prefix: bool = False,
    literals: Literals = "text",
) -> list[int]:
    """The token ids of a conversation's prompt, begin-of-sentence included.

    Args:
        messages: As for `render`, and so are `mode`, `tools` and `prefix`.
        literals: Text of a message that reads like a special token (`</think>`, `<｜User｜>`) is encoded as the text it
            is (`"text"`), so that no user can forge a turn. Servers that render to text and encode it after, as
            llama.cpp, vLLM and SGLang do, read it as that token: `"control"` gives their ids. Without such text both
            are the same.

    Raises:
        InvalidRequestError: As for `render`.
    """
    parts = segments(messages, mode=mode, tools=tools, prefix=prefix)
    if literals == "control":
        return encode_raw(_text_of(parts))
    if literals != "text":
        raise InvalidRequestError(f"literals {literals!r} is unknown: use 'text' or 'control'")
    ids: list[int] = []
    text: list[str] = []  # neighbouring texts meet before encoding: a token may span their border
    for part in [*parts, None]:
        if isinstance(part, str):
            text.append(part)
            continue
        if joined := "".join(text):
            ids += encode(joined)
        text.clear()
        if part is not None:
            ids.append(SPECIAL_TOKENS[part.text])
    return ids


def count_messages(
    messages: Conversation,
    *,
    mode: Mode,
    tools: Tools | None = None,
    prefix: bool = False,
    literals: Literals = "text",
) -> int:
    """How many prompt tokens a conversation has on V3.1, exactly; see `encode_messages`."""
    return len(encode_messages(messages, mode=mode, tools=tools, prefix=prefix, literals=literals))


def tools_prompt(tools: Tools) -> str:
    """The section on tools for the end of a system prompt, for servers whose template leaves tools out."""
    return _text_of(tools_segments(tools))


def upper_bound(messages: Conversation, *, tools: Tools | None = None) -> int:
    """More tokens than a conversation has on any tokenizer with a byte alphabet: for models whose tokenizer is unknown.

    Counts the UTF-8 bytes of everything in the messages, 16 tokens of frame a message, 64 a conversation (a default
    system prompt, say), and, with tools, the bytes of their JSON, indented, and 512 more for the instructions.

    Raises:
        InvalidRequestError: There are no messages, or something in them is not text.
    """
    conversation = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    if not conversation:
        raise InvalidRequestError("there are no messages: give at least one, or a string")
    total = FRAME_PER_CONVERSATION + FRAME_PER_MESSAGE * len(conversation)
    for place, message in enumerate(conversation):
        for key, value in message.items():
            total += len(_bound_text(key, value, place).encode(errors="replace"))
    if tools:
        total += FRAME_FOR_TOOLS + len(_json(list(tools), "tools").encode())
    return total


def _bound_text(key: str, value: object, place: int) -> str:
    if value is None or isinstance(value, bool):
        return ""
    if key == "content":
        return plain_text(value)
    return value if isinstance(value, str) else _json(value, f"messages[{place}].{key}")


def _json(value: object, where: str) -> str:
    try:
        return json.dumps(value, indent=4)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"{where} is not JSON: {error}") from error


def _text_of(parts: list[Segment]) -> str:
    return "".join(part.text if isinstance(part, Frame) else part for part in parts)
