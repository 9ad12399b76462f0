"""What the bill server does with a request: answer, fail, send something odd, or hang up."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from tests.support.bill import Mode

UsageWhen: TypeAlias = Literal["own-chunk", "last-chunk", "every-chunk", "absent"]
UsageShape: TypeAlias = Literal["deepseek", "documented", "openai", "bare", "sglang"]
ReasoningField: TypeAlias = Literal["reasoning_content", "reasoning", "both", "inline", "inline-open"]
ErrorShape: TypeAlias = Literal["openai", "vllm", "siliconflow", "openrouter", "fastapi", "text", "html", "empty"]


def pieces_of(text: str) -> tuple[str, ...]:
    """Text cut before each word: one piece stands for one token."""
    return tuple(re.findall(r"\s*\S+|\s+$", text))


def tokens_of(word: str) -> int:
    """What a word is billed as: one token, or one for each mark in it where it is a word of JSON."""
    json_like = '"' in word and ("{" in word or "}" in word or '":' in word)
    return max(1, sum(not (c.isalnum() or c.isspace()) for c in word)) if json_like else 1


@dataclass(frozen=True)
class Piece:
    """A streamed fragment and the tokens it is billed as."""

    kind: Literal["reasoning", "text", "tool"]
    text: str
    tokens: int
    index: int = 0
    name: str | None = None


@dataclass(frozen=True)
class Answer:
    """A real answer. Times are in seconds, counts in tokens."""

    text: str | Sequence[str] = "Paris."
    """Cut before each word when it is a string; otherwise the chunks as given."""
    reasoning: str | Sequence[str] = "The user asks for a capital."
    """Sent only when the thinking mode runs."""
    finish_reason: str = "stop"
    prompt_tokens: int | None = None
    """Left out, words of the messages plus four."""
    cache_hit: int = 0
    text_tokens: int | None = None
    """Billed tokens of the text; left out, one for each chunk, or more for one of JSON."""
    reasoning_tokens: int | None = None
    tool_calls: Sequence[tuple[str, str]] = ()
    """Name and arguments of each call."""
    logprob: float | None = None
    """The same natural-log probability for every token, when the request asks for them."""
    usage: UsageWhen = "own-chunk"
    usage_shape: UsageShape = "deepseek"
    reasoning_field: ReasoningField = "reasoning_content"
    parser_mismatch: bool = False
    """The answer lands in the reasoning field and `content` stays null."""
    ran: Mode | None = None
    """The mode that runs whatever was asked; left out, the one asked for."""
    obeys_max_tokens: bool = True
    delay: float = 0.0
    """Waiting in the queue: a client that leaves now pays nothing."""
    admission: threading.Event | None = None
    """Waiting in the queue until it is set."""
    token_delay: float = 0.0
    """Between two chunks, streamed or not."""
    hold: float = 0.0
    """After generating and billing, before a plain answer is sent."""
    held_until: threading.Event | None = None
    """The same, until it is set."""
    linger: float = 0.0
    """After `[DONE]`, before the end of the response body."""
    keep_alive: int = 0
    """Keep-alive comments (streamed) or blank lines (plain) before the answer, and between chunks."""
    stall_after: int | None = None
    """The generation stands still after so many chunks, until the client leaves or `stall` is over."""
    stall: float = 600.0
    cut_after: int | None = None
    """The connection drops after so many chunks; the rest is neither generated nor billed."""
    error_after: int | None = None
    """An error event after so many chunks, inside the stream."""
    error_shape: ErrorShape = "openai"
    done: bool = True
    """Whether a stream ends with `[DONE]`."""
    merge: int = 1
    """So many chunks travel in one event."""
    headers: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None
    fingerprint: str | None = None
    """The `system_fingerprint`, if there is one."""
    service_tier: str | None = None
    """The service tier that the response names."""
    server_tool_use: Mapping[str, int] | None = None
    """What the usage says of the server's own tools."""

    def pieces(self, mode: Mode) -> list[Piece]:
        out: list[Piece] = []
        if mode == "thinking":
            out += self._tagged(_weighed("reasoning", self.reasoning, self.reasoning_tokens))
        out += _weighed("text", self.text, self.text_tokens)
        for index, (name, arguments) in enumerate(self.tool_calls):
            out.append(Piece("tool", "", 3, index, name))
            middle = len(arguments) // 2
            out += [Piece("tool", part, 3, index) for part in (arguments[:middle], arguments[middle:]) if part]
        return out

    def _tagged(self, reasoning: list[Piece]) -> list[Piece]:
        """Inline reasoning ends in its closing tag; the opening one is usually part of the prompt."""
        if reasoning and self.reasoning_field in {"inline", "inline-open"}:
            reasoning[-1] = replace(reasoning[-1], text=f"{reasoning[-1].text}</think>")
            if self.reasoning_field == "inline-open":
                reasoning[0] = replace(reasoning[0], text=f"<think>{reasoning[0].text}")
        return reasoning

    def but(self, **changes: object) -> Answer:
        """This answer with other fields."""
        return replace(self, **changes)  # type: ignore[arg-type]


def _weighed(kind: Literal["reasoning", "text"], text: str | Sequence[str], tokens: int | None) -> list[Piece]:
    parts = pieces_of(text) if isinstance(text, str) else tuple(text)
    if not parts:
        return [] if not tokens else [Piece(kind, "", tokens)]
    if tokens is None:
        return [Piece(kind, part, tokens_of(part)) for part in parts]
    total = tokens
    marks = [round(i * total / len(parts)) for i in range(len(parts) + 1)]
    return [Piece(kind, part, marks[i + 1] - marks[i]) for i, part in enumerate(parts)]


@dataclass(frozen=True)
class Failure:
    """An error status. Nothing is billed unless `billed` says so."""

    status: int
    message: str = "no"
    shape: ErrorShape = "openai"
    retry_after: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    delay: float = 0.0
    admission: threading.Event | None = None
    """Waiting until it is set."""
    billed: Answer | None = None

    def body(self) -> bytes:
        return error_body(self.shape, self.status, self.message)


@dataclass(frozen=True)
class RawBody:
    """A success, or any status, with a body of your own."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    billed: Answer | None = None
    delay: float = 0.0


@dataclass(frozen=True)
class Drop:
    """The connection ends without an answer."""

    billed: Answer | None = None
    """What was generated and billed before the line broke."""
    after: Literal["request", "headers"] = "request"
    delay: float = 0.0


Behaviour: TypeAlias = Answer | Failure | RawBody | Drop


def error_body(shape: ErrorShape, status: int, message: str) -> bytes:
    """The body of an error as different endpoints write it."""
    match shape:
        case "openai":
            kind = "invalid_request_error"
            data: object = {"error": {"message": message, "type": kind, "param": None, "code": kind}}
        case "vllm":
            data = {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": status}
        case "siliconflow":
            data = {"code": 20024, "message": message, "data": None}
        case "openrouter":
            data = {"error": {"code": status, "message": message, "metadata": {}}}
        case "fastapi":
            data = {"detail": message}
        case "text":
            return message.encode()
        case "html":
            return f"<html><body><h1>{status}</h1>{message}</body></html>".encode()
        case "empty":
            return b""
    return json.dumps(data).encode()


def usage_fields(
    shape: UsageShape, *, prompt: int, cache_hit: int, completion: int, reasoning: int
) -> dict[str, object]:
    """Usage as different endpoints write it."""
    usage: dict[str, object] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if shape in {"deepseek", "documented"}:
        usage |= {"prompt_cache_hit_tokens": cache_hit, "prompt_cache_miss_tokens": prompt - cache_hit}
    if shape in {"deepseek", "openai", "sglang"}:
        usage["prompt_tokens_details"] = {"cached_tokens": cache_hit}
    if shape in {"deepseek", "documented", "openai"}:
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    if shape == "sglang":
        usage["reasoning_tokens"] = reasoning
    return usage
