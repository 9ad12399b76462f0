"""Generate an answer token by token, bill exactly what was generated, and write it to the wire."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.behaviour import Answer, Piece, error_body, tokens_of, usage_fields
from tests.support.bill import Bill, BilledRequest, Mode
from tests.support.http11 import ClientGone, Wire


@dataclass
class Received:
    """One chat request, and what became of it."""

    number: int
    """From 0, in order of arrival."""
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, object]
    mode_asked: Mode | None
    """The mode asked for in the server's own dialect; `None` when the request does not say."""
    mode_ran: Mode
    arrived_at: float = field(default_factory=time.monotonic)
    connection: int = 0
    """Number of the connection it came on, from 0."""
    generated: int = 0
    """Tokens generated before the end, or before the client left."""
    disconnected: bool = False
    """Whether the client left before the answer was complete."""
    ended: bool = False
    line: BilledRequest | None = None
    """What it was billed."""

    @property
    def stream(self) -> bool:
        return self.body.get("stream") is True

    @property
    def messages(self) -> list[Mapping[str, object]]:
        found = self.body.get("messages")
        return list(found) if isinstance(found, list) else []

    @property
    def question(self) -> str:
        """Text of the last user message."""
        said = [m.get("content") for m in self.messages if m.get("role") == "user"]
        return str(said[-1]) if said else ""

    @property
    def max_tokens(self) -> int | None:
        for name in ("max_tokens", "max_completion_tokens"):
            value = self.body.get(name)
            if isinstance(value, int):
                return value
        return None


class Generation:
    """One answer under way: its tokens so far, and its line on the bill once it ends, however it ends."""

    def __init__(self, answer: Answer, request: Received, bill: Bill) -> None:
        self.answer = answer
        self.request = request
        self.mode: Mode = answer.ran or request.mode_ran
        request.mode_ran = self.mode
        words = sum(tokens_of(word) for m in request.messages for word in str(m.get("content") or "").split())
        self.prompt = words + 4 if answer.prompt_tokens is None else answer.prompt_tokens
        self.reasoning = 0
        self.completion = 0
        self.finish_reason = "tool_calls" if answer.tool_calls else answer.finish_reason
        self._bill = bill
        self._room = request.max_tokens if answer.obeys_max_tokens else None

    def take(self, piece: Piece) -> Piece | None:
        """Generate one piece; `None` when `max_tokens` ends the answer before it."""
        if self._room is not None and self.completion + piece.tokens > self._room:
            self.finish_reason = "length"
            return None
        self.completion += piece.tokens
        self.reasoning += piece.tokens if piece.kind == "reasoning" else 0
        self.request.generated = self.completion
        return piece

    def charge(self, *, complete: bool) -> None:
        """Put it on the bill, once."""
        if self.request.line is None:
            self.request.line = self._bill.charge(
                self.request.number,
                self.mode,
                prompt=self.prompt,
                cache_hit=self.answer.cache_hit,
                completion=self.completion,
                reasoning=self.reasoning,
                complete=complete,
            )

    def usage(self) -> dict[str, object]:
        usage = usage_fields(
            self.answer.usage_shape,
            prompt=self.prompt,
            cache_hit=self.answer.cache_hit,
            completion=self.completion,
            reasoning=self.reasoning,
        )
        if self.answer.server_tool_use is not None:
            usage["server_tool_use"] = dict(self.answer.server_tool_use)
        return usage

    def all_at_once(self) -> list[Piece]:
        """Every piece, without delays."""
        taken: list[Piece] = []
        for piece in self.answer.pieces(self.mode):
            if self.take(piece) is None:
                break
            taken.append(piece)
        return taken

    def frame(self, kind: str) -> dict[str, object]:
        """The fields that every body shares."""
        model = self.answer.model or str(self.request.body.get("model", "deepseek-chat"))
        mark = {"system_fingerprint": self.answer.fingerprint} if self.answer.fingerprint is not None else {}
        tier = {} if self.answer.service_tier is None else {"service_tier": self.answer.service_tier}
        head = {"id": f"chatcmpl-{self.request.number}", "object": kind, "created": 1756000000, "model": model}
        return {**head, **mark, **tier}

    def fields(self, piece: Piece) -> dict[str, object]:
        """The piece as fields of a delta."""
        if piece.kind == "tool":
            function: dict[str, object] = (
                {"name": piece.name, "arguments": ""} if piece.name else {"arguments": piece.text}
            )
            head = {"id": f"call_{piece.index:02d}", "type": "function"} if piece.name else {}
            return {"tool_calls": [{"index": piece.index, **head, "function": function}]}
        if piece.kind == "text":
            return {"reasoning_content" if self.answer.parser_mismatch else "content": piece.text}
        match self.answer.reasoning_field:
            case "inline" | "inline-open":
                return {"content": piece.text}
            case "both":
                return {"reasoning_content": piece.text, "reasoning": piece.text}
            case name:
                return {name: piece.text}


async def answer_plain(wire: Wire, generation: Generation) -> None:
    """The whole answer in one body."""
    answer = generation.answer
    await wire.pause(answer.delay)
    await wire.wait(answer.admission)
    if answer.keep_alive:
        await wire.head(200, {"content-type": "application/json", **answer.headers})
        for _ in range(answer.keep_alive):
            await wire.send(b"\n")
    taken: list[Piece] = []
    try:
        for number, piece in enumerate(answer.pieces(generation.mode)):
            await wire.pause(answer.stall if answer.stall_after == number else answer.token_delay)
            if answer.cut_after == number:
                raise ClientGone
            if generation.take(piece) is None:
                break
            taken.append(piece)
    except ClientGone:
        generation.charge(complete=False)
        raise
    generation.charge(complete=True)
    await wire.pause(answer.hold)
    await wire.wait(answer.held_until)
    body = json.dumps(plain_body(generation, taken)).encode()
    if not answer.keep_alive:
        await wire.head(200, {"content-type": "application/json", **answer.headers}, length=len(body))
    await wire.send(body)
    await wire.finish()


def plain_body(generation: Generation, taken: list[Piece]) -> dict[str, object]:
    answer = generation.answer
    message: dict[str, object] = {"role": "assistant", "content": None}
    calls: dict[int, dict[str, object]] = {}
    for piece in taken:
        if piece.kind == "tool":
            call = calls.setdefault(piece.index, {"name": piece.name, "arguments": ""})
            call["arguments"] = f"{call['arguments']}{piece.text}"
            continue
        for name, value in generation.fields(piece).items():
            message[name] = f"{message.get(name) or ''}{value}"
    if calls:
        message["tool_calls"] = [
            {"id": f"call_{index:02d}", "type": "function", "function": function} for index, function in calls.items()
        ]
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": generation.finish_reason,
        "logprobs": _logprobs(generation, taken),
    }
    usage = {} if answer.usage == "absent" else {"usage": generation.usage()}
    return {**generation.frame("chat.completion"), "choices": [choice], **usage}


async def answer_stream(wire: Wire, generation: Generation) -> None:
    """The answer as server-sent events."""
    answer = generation.answer
    await wire.pause(answer.delay)
    await wire.wait(answer.admission)
    await wire.head(200, {"content-type": "text/event-stream", **answer.headers})
    try:
        ended = await _tokens(wire, generation)
    except ClientGone:
        generation.charge(complete=False)
        raise
    generation.charge(complete=ended)
    if not ended:
        return
    last = _event(generation, {}, generation.finish_reason)
    if answer.usage in {"last-chunk", "every-chunk"}:
        last["usage"] = generation.usage()
    await _send(wire, last)
    if answer.usage in {"own-chunk", "every-chunk"}:
        frame = generation.frame("chat.completion.chunk")
        await _send(wire, {**frame, "choices": [], "usage": generation.usage()})
    if answer.done:
        await wire.send(b"data: [DONE]\n\n")
    await wire.pause(answer.linger)
    await wire.finish()


async def _tokens(wire: Wire, generation: Generation) -> bool:
    """Generate and send piece by piece; false when the script breaks the stream off."""
    answer = generation.answer
    await _comments(wire, answer.keep_alive)
    await _send(wire, _event(generation, {"role": "assistant", "content": ""}, None))
    waiting: list[Piece] = []
    pieces = answer.pieces(generation.mode)
    for number, piece in enumerate(pieces):
        await wire.pause(answer.stall if answer.stall_after == number else answer.token_delay)
        if answer.cut_after == number:
            raise ClientGone
        if answer.error_after == number:
            await wire.send(b"data: " + error_body(answer.error_shape, 500, "the engine failed") + b"\n\n")
            await wire.finish()
            return False
        if generation.take(piece) is None:
            break
        waiting.append(piece)
        if len(waiting) >= answer.merge:
            await _flush(wire, generation, waiting)
            await _comments(wire, answer.keep_alive)
    await _flush(wire, generation, waiting)
    if answer.cut_after is not None and answer.cut_after >= len(pieces):
        raise ClientGone
    return True


async def _flush(wire: Wire, generation: Generation, waiting: list[Piece]) -> None:
    delta: dict[str, object] = {}
    for piece in waiting:
        for name, value in generation.fields(piece).items():
            delta[name] = f"{delta.get(name, '')}{value}" if isinstance(value, str) else value
    if delta:
        event = _event(generation, delta, None, _logprobs(generation, waiting))
        event["usage"] = generation.usage() if generation.answer.usage == "every-chunk" else None
        await _send(wire, event)
    waiting.clear()


def _logprobs(generation: Generation, pieces: list[Piece]) -> dict[str, object] | None:
    logprob = generation.answer.logprob
    if logprob is None or generation.request.body.get("logprobs") is not True:
        return None
    return {"content": [{"token": p.text, "logprob": logprob, "bytes": None, "top_logprobs": []} for p in pieces]}


def _event(
    generation: Generation,
    delta: Mapping[str, object],
    finish_reason: str | None,
    logprobs: dict[str, object] | None = None,
) -> dict[str, object]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": logprobs}
    return {**generation.frame("chat.completion.chunk"), "choices": [choice]}


async def _send(wire: Wire, event: Mapping[str, object]) -> None:
    await wire.send(b"data: " + json.dumps(event).encode() + b"\n\n")


async def _comments(wire: Wire, count: int) -> None:
    for number in range(count):
        await wire.send((b": keep-alive\n\n", b"\n", b"data:\n\n")[number % 3])
