"""Routed answers in openai's shape: one body, or chunks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import add

from deepthrift import Finished, ReasoningDelta, Reply, TextDelta, TokenLogprob, ToolCallDelta
from deepthrift_pricing import Usage
from deepthrift_router._record.presenter import Escalated, RoutedEvent
from deepthrift_router._record.reply import RoutedReply
from deepthrift_router.compat._routing import Routing

DONE = b"data: [DONE]\n\n"


def completion(replies: Sequence[RoutedReply]) -> bytes:
    """The body that holds one or several answers."""
    first = replies[0]
    body = {
        "id": f"chatcmpl-{first.group_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": first.model,
        "choices": [_choice(index, reply) for index, reply in enumerate(replies)],
        "usage": _usage(reduce(add, (reply.usage for reply in replies))),
        "deepthrift": [_routing(reply) for reply in replies],
    }
    return json.dumps(body).encode()


class Chunks:
    """The chunks of one streamed answer."""

    def __init__(self, group_id: str, model: str, *, include_usage: bool) -> None:
        self._frame = {"id": f"chatcmpl-{group_id}", "object": "chat.completion.chunk", "created": int(time.time())}
        self._model = model
        self._include_usage = include_usage
        self._role: Mapping[str, object] = {"role": "assistant", "content": ""}
        self._called = False

    def of(self, event: RoutedEvent) -> Iterator[bytes]:
        """What an event is as chunks."""
        match event:
            case ReasoningDelta(text):
                yield self._delta({"reasoning_content": text})
            case TextDelta(text):
                yield self._delta({"content": text})
            case ToolCallDelta():
                yield self._call(event)
            case Escalated(to, reason):
                yield self._chunk([self._piece({})], escalated={"to": to, "reason": reason})
            case Finished(reply) if isinstance(reply, RoutedReply):
                yield from self._end(reply)
            case _:
                pass

    def _end(self, reply: RoutedReply) -> Iterator[bytes]:
        self._model = reply.model
        for index, call in enumerate(() if self._called else reply.tool_calls):
            yield self._call(ToolCallDelta(index, call.id, call.name, call.arguments))
        last = {**self._piece(self._role), "finish_reason": reply.finish_reason, "logprobs": _logprobs(reply)}
        yield self._chunk([last], deepthrift=[_routing(reply)])
        if self._include_usage:
            yield self._chunk([], usage=_usage(reply.usage))
        yield DONE

    def _call(self, delta: ToolCallDelta) -> bytes:
        self._called = True
        function: dict[str, object] = {"arguments": delta.arguments}
        head: dict[str, object] = {}
        if delta.name is not None:
            function["name"] = delta.name
        if delta.id is not None:
            head = {"id": delta.id, "type": "function"}
        return self._delta({"tool_calls": [{"index": delta.index, **head, "function": function}]})

    def _delta(self, delta: Mapping[str, object]) -> bytes:
        first, self._role = self._role, {}
        return self._chunk([self._piece({**first, **delta})])

    def _piece(self, delta: Mapping[str, object]) -> Mapping[str, object]:
        return {"index": 0, "delta": delta, "finish_reason": None, "logprobs": None}

    def _chunk(self, choices: Sequence[Mapping[str, object]], **more: object) -> bytes:
        body = {**self._frame, "model": self._model, "choices": choices, **more}
        return b"data: " + json.dumps(body).encode() + b"\n\n"


def _choice(index: int, reply: RoutedReply) -> Mapping[str, object]:
    message: dict[str, object] = {**reply.message}
    if reply.tool_calls and not reply.text:
        message["content"] = None
    return {"index": index, "message": message, "finish_reason": reply.finish_reason, "logprobs": _logprobs(reply)}


def _routing(reply: RoutedReply) -> Mapping[str, object]:
    return Routing.of(reply).model_dump(mode="json")


def _usage(usage: Usage) -> Mapping[str, object]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_hit_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _logprobs(reply: Reply) -> Mapping[str, object] | None:
    return None if reply.logprobs is None else {"content": [_token(each) for each in reply.logprobs]}


def _token(given: TokenLogprob) -> Mapping[str, object]:
    top = [{"token": token, "logprob": logprob, "bytes": list(token.encode())} for token, logprob in given.top]
    logprob = -9999.0 if given.logprob is None else given.logprob
    return {"token": given.token, "logprob": logprob, "bytes": list(given.token.encode()), "top_logprobs": top}
