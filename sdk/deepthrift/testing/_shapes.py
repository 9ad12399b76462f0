"""Answers in the wire shapes of V3.1's API (api/create-chat-completion, guides/fim_completion)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from deepthrift.testing._replies import MockReply
from deepthrift.testing._sent import SentRequest
from deepthrift_pricing import Mode

_PIECE: Final = re.compile(r"\s*\S+|\s+$")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer, and the tokens that it has."""

    kind: Literal["reasoning", "text", "tool"]
    text: str
    tokens: int
    index: int = 0
    name: str | None = None


class GeneratedReply:
    """One reply as it is generated for one request: pieces, usage and why it ended."""

    def __init__(self, reply: MockReply, request: SentRequest, number: int) -> None:
        self._request = request
        self._reply = reply
        self.mode: Mode = reply.mode or request.mode
        self.raw = "messages" not in request.body
        """Whether it completes plain text."""
        self.pieces = _fitted(self._all(), request)
        cut = sum(piece.tokens for piece in self._all()) > sum(piece.tokens for piece in self.pieces)
        done = "tool_calls" if reply.tool_calls else "stop"
        self.finish_reason = "length" if cut else reply.finish_reason or done
        self._frame = {
            "id": f"mock-{number}",
            "created": 1756000000,
            "model": request.body.get("model"),
            "system_fingerprint": "fp_mock",
        }

    def _all(self) -> list[Piece]:
        reply = self._reply
        pieces: list[Piece] = []
        if self.mode == "thinking" and not self.raw:
            pieces += [Piece("reasoning", text, _count(text)) for text in _PIECE.findall(reply.reasoning or "")]
        pieces += [Piece("text", text, _count(text)) for text in _PIECE.findall(reply.text)]
        for index, (name, arguments) in enumerate(reply.arguments()):
            pieces.append(Piece("tool", "", _count(name), index, name))
            middle = len(arguments) // 2
            parts = (arguments[:middle], arguments[middle:])
            pieces += [Piece("tool", part, _count(part), index) for part in parts if part]
        return pieces

    def usage(self) -> dict[str, object] | None:
        """Tokens, as DeepSeek's API reports them."""
        reply = self._reply
        if not reply.reports_usage:
            return None
        prompt = _prompt_tokens(self._request, self.mode) if reply.prompt_tokens is None else reply.prompt_tokens
        counted = sum(piece.tokens for piece in self.pieces)
        completion = counted if reply.completion_tokens is None else reply.completion_tokens
        reasoning = sum(piece.tokens for piece in self.pieces if piece.kind == "reasoning")
        hit = min(reply.cache_hit_tokens, prompt)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_cache_hit_tokens": hit,
            "prompt_cache_miss_tokens": prompt - hit,
            "prompt_tokens_details": {"cached_tokens": hit},
            "completion_tokens_details": {"reasoning_tokens": min(reasoning, completion)},
        }

    def choice(self, index: int) -> dict[str, object]:
        """The whole answer as a choice of a plain response."""
        said = {"index": index, "finish_reason": self.finish_reason, "logprobs": self._logprobs(self.pieces)}
        text = "".join(piece.text for piece in self.pieces if piece.kind == "text")
        if self.raw:
            return {**said, "text": text}
        message: dict[str, object] = {"role": "assistant", "content": text or None}
        if self.mode == "thinking" and self._reply.reasoning is not None:
            message["reasoning_content"] = "".join(piece.text for piece in self.pieces if piece.kind == "reasoning")
        if calls := self._calls():
            message["tool_calls"] = calls
        return {**said, "message": message}

    def _calls(self) -> list[dict[str, object]]:
        reached = {piece.index for piece in self.pieces if piece.kind == "tool"}
        return [
            {
                "index": index,
                "id": f"call_{index:02d}",
                "type": "function",
                "function": {
                    "name": name,
                    "arguments": "".join(p.text for p in self.pieces if p.kind == "tool" and p.index == index),
                },
            }
            for index, (name, _) in enumerate(self._reply.arguments())
            if index in reached
        ]

    def body(self, choices: Sequence[dict[str, object]], usage: dict[str, object] | None) -> bytes:
        """A plain response."""
        kind = "text_completion" if self.raw else "chat.completion"
        told = {} if usage is None else {"usage": usage}
        return json.dumps({**self._frame, "object": kind, "choices": choices, **told}, ensure_ascii=False).encode()

    def events(self) -> list[bytes]:
        """The response as events: the role, the pieces, the end with the usage on it, and the end mark."""
        first = [] if self.raw else [self._event({"delta": {"role": "assistant", "content": ""}})]
        last = {"text": ""} if self.raw else {"delta": {"content": ""}}
        return [
            *first,
            *(self._event({**self._delta(piece), "logprobs": self._logprobs([piece])}) for piece in self.pieces),
            self._event({**last, "finish_reason": self.finish_reason}, self.usage()),
            b"data: [DONE]\n\n",
        ]

    def _delta(self, piece: Piece) -> dict[str, object]:
        if self.raw:
            return {"text": piece.text}
        if piece.kind == "reasoning":
            return {"delta": {"reasoning_content": piece.text, "content": None}}
        if piece.kind == "text":
            return {"delta": {"content": piece.text}}
        head = {} if piece.name is None else {"id": f"call_{piece.index:02d}", "type": "function"}
        function = {"arguments": piece.text} if piece.name is None else {"name": piece.name, "arguments": ""}
        return {"delta": {"tool_calls": [{"index": piece.index, **head, "function": function}]}}

    def _event(self, choice: dict[str, object], usage: dict[str, object] | None = None) -> bytes:
        whole = {"index": 0, "finish_reason": None, "logprobs": None, **choice}
        kind = "text_completion" if self.raw else "chat.completion.chunk"
        told = {} if usage is None else {"usage": usage}
        event = {**self._frame, "object": kind, "choices": [whole], **told}
        return b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"

    def _logprobs(self, pieces: Sequence[Piece]) -> dict[str, object] | None:
        logprob = self._reply.logprob
        if logprob is None or not self._request.body.get("logprobs"):
            return None
        if self.raw:
            texts = [piece.text for piece in pieces]
            return {"tokens": texts, "token_logprobs": [logprob] * len(texts), "top_logprobs": None}

        def entries(kind: str) -> list[dict[str, object]]:
            texts = [piece.text for piece in pieces if piece.kind == kind]
            return [{"token": text, "logprob": logprob, "bytes": None, "top_logprobs": []} for text in texts]

        return {"content": entries("text"), "reasoning_content": entries("reasoning") or None}


def _fitted(pieces: Sequence[Piece], request: SentRequest) -> list[Piece]:
    """The pieces for which `max_tokens` has room."""
    limit = request.body.get("max_tokens", request.body.get("max_completion_tokens"))
    if not isinstance(limit, int):
        return list(pieces)
    kept: list[Piece] = []
    for piece in pieces:
        limit -= piece.tokens
        if limit < 0:
            break
        kept.append(piece)
    return kept


def _count(text: str) -> int:
    from deepthrift_pricing.tokens import count_text

    return count_text(text)


def _prompt_tokens(request: SentRequest, mode: Mode) -> int:
    from deepthrift_pricing.tokens import count_messages, count_text

    if not request.messages:
        return 1 + count_text(str(request.body.get("prompt", ""))) + count_text(str(request.body.get("suffix") or ""))
    return count_messages(request.messages, mode=mode)
