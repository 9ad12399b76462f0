"""A transport that is an endpoint of V3.1 itself, and does what a script says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TypeAlias

import httpx

from deepthrift._types.errors import UnmatchedRequest
from deepthrift._types.messages import JSONObject, JSONValue
from deepthrift.testing._replies import MockBehaviour, MockDisconnect, MockError, MockReply
from deepthrift.testing._sent import SentRequest
from deepthrift.testing._shapes import GeneratedReply

Script: TypeAlias = MockBehaviour | Sequence[MockBehaviour] | Callable[[SentRequest], MockBehaviour]
"""One behaviour for every request, one for each in turn, or a function of the request."""


class MockTransport(httpx.AsyncBaseTransport):
    """An endpoint in the client's own process: `Client("http://test/v1", host="vllm", transport=MockTransport(…))`.

    It speaks as V3.1's API does, in both modes, streamed or not, for chats and completions, and counts tokens exactly.
    Give it to either client; the client does all it does with a real one: prices, budgets, bookings, retries.

    Args:
        script: What it does. After the last one of a sequence, a further request is an error.
        models: What `GET /models` lists.
        balance: What `GET /user/balance` answers; left out, there is no such path.
    """

    def __init__(
        self,
        script: Script,
        *,
        models: Sequence[str] = ("deepseek-v3.1",),
        balance: JSONObject | None = None,
    ) -> None:
        self._sequence: list[MockBehaviour] | None = None
        self._pick: Callable[[SentRequest], MockBehaviour]
        if isinstance(script, MockReply | MockError | MockDisconnect):
            self._pick = lambda _: script
        elif callable(script):
            self._pick = script
        else:
            self._sequence = list(script)
            self._pick = self._in_turn
        self._models = tuple(models)
        self._balance = balance
        self._taken = 0
        self.requests: list[SentRequest] = []
        """What was sent so far, in order."""

    @property
    def last(self) -> SentRequest:
        """What was sent last.

        Raises:
            UnmatchedRequest: Nothing was.
        """
        if not self.requests:
            raise UnmatchedRequest("nothing was sent")
        return self.requests[-1]

    def assert_all_used(self) -> None:
        """Nothing, if every behaviour of a sequence was asked for.

        Raises:
            UnmatchedRequest: Some were not.
        """
        if self._sequence is not None and (left := len(self._sequence) - self._taken):
            raise UnmatchedRequest(f"{left} of {len(self._sequence)} replies were not asked for")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request.

        Raises:
            UnmatchedRequest: There is no behaviour for it, or it is not what was expected.
        """
        sent = await SentRequest.of(request)
        self.requests.append(sent)
        if sent.method == "GET":
            return self._question(sent)
        if not sent.path.endswith("/completions"):
            return _json(404, {"error": {"message": f"no such path: {sent.path}"}})
        behaviour = self._next(sent)
        await asyncio.sleep(behaviour.delay)
        match behaviour:
            case MockError():
                return _refusal(behaviour)
            case MockDisconnect():
                raise httpx.ReadError("a scripted disconnect", request=request)
            case MockReply():
                return self._answer(behaviour, sent, request)

    def _in_turn(self, sent: SentRequest) -> MockBehaviour:
        behaviours = self._sequence or []
        if self._taken >= len(behaviours):
            raise UnmatchedRequest(f"all {self._taken} replies were given, and a further request came: {sent}")
        return behaviours[self._taken]

    def _next(self, sent: SentRequest) -> MockBehaviour:
        found = self._pick(sent)
        self._taken += 1
        if isinstance(found, MockReply):
            _check(found.expect, sent)
        return found

    def _answer(self, reply: MockReply, sent: SentRequest, request: httpx.Request) -> httpx.Response:
        number = len(self.requests)
        generated = GeneratedReply(reply, sent, number)
        headers = {"x-ds-trace-id": f"mock-{number}", **reply.headers}
        if sent.stream:
            stream = _Events(generated.events(), reply, request)
            return httpx.Response(200, headers={"content-type": "text/event-stream", **headers}, stream=stream)
        every, usage = [generated], generated.usage()
        wanted = sent.body.get("n")
        while isinstance(wanted, int) and len(every) < wanted and isinstance(more := self._next(sent), MockReply):
            every.append(GeneratedReply(more, sent, number))
            usage = _sum(usage, every[-1].usage())
        choices = [each.choice(index) for index, each in enumerate(every)]
        content = generated.body(choices, usage)
        return httpx.Response(200, headers={"content-type": "application/json", **headers}, stream=_Body(content))

    def _question(self, sent: SentRequest) -> httpx.Response:
        if sent.path.endswith("/models"):
            listed: list[JSONValue] = [{"id": name, "object": "model", "owned_by": "mock"} for name in self._models]
            return _json(200, {"object": "list", "data": listed})
        if sent.path.endswith("/user/balance") and self._balance is not None:
            return _json(200, self._balance)
        return _json(404, {"error": {"message": f"no such path: {sent.path}"}})


class _Body(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


class _Events(httpx.AsyncByteStream):
    """The events of a stream, one after the other, until it is cut."""

    def __init__(self, events: Sequence[bytes], reply: MockReply, request: httpx.Request) -> None:
        self._events = events
        self._reply = reply
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for number, event in enumerate(self._events):
            await asyncio.sleep(self._reply.chunk_delay)
            if number == self._reply.cut_after:
                raise httpx.ReadError("a scripted disconnect", request=self._request)
            yield event


def _check(expected: Mapping[str, JSONValue], sent: SentRequest) -> None:
    missing = object()
    for name, value in expected.items():
        if sent.body.get(name, missing) != value:
            actual = f"is {sent.body[name]!r}" if name in sent.body else "is not there"
            raise UnmatchedRequest(f"{name!r} of the request {actual}, and {value!r} was expected")


def _sum(one: dict[str, object] | None, other: dict[str, object] | None) -> dict[str, object] | None:
    """Usage of several answers to one prompt: what was generated adds up."""
    if one is None or other is None:
        return one
    more = other["completion_tokens"]
    if not isinstance(more, int):
        return one
    return {**one, **{name: more + int(str(one[name])) for name in ("completion_tokens", "total_tokens")}}


def _refusal(error: MockError) -> httpx.Response:
    kind = "invalid_request_error" if error.status < 500 else "server_error"
    body: JSONObject = {"error": {"message": error.message, "type": kind, "param": None, "code": kind}}
    headers = {} if error.retry_after is None else {"retry-after": f"{error.retry_after:g}"}
    return _json(error.status, body, headers)


def _json(status: int, value: JSONValue, headers: Mapping[str, str] | None = None) -> httpx.Response:
    content = json.dumps(value, ensure_ascii=False).encode()
    whole = {"content-type": "application/json", "x-ds-trace-id": "mock", **(headers or {})}
    return httpx.Response(status, headers=whole, stream=_Body(content))
