"""What a middleware is given, and what it returns."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self, TypeAlias

from deepthrift._types.messages import JSONObject, JSONValue
from deepthrift._util.secrets import shown
from deepthrift_pricing import Mode, Purpose


@dataclass(frozen=True, kw_only=True)
class Request:
    """One attempt, as it is about to be sent: counted, priced and, unless its answer was found before that, reserved.

    Only its headers may be changed, with `with_headers`: budgets and prices hold for the rest of it.
    """

    url: str
    """Where it goes; secrets in its query are hidden."""
    headers: Mapping[str, str]
    """All of them, names in lower case, the API key among them; a representation hides it."""
    body: JSONObject
    """What is sent, the conversation included. A copy: to change it changes nothing."""
    host: str
    """The host profile's name."""
    model: str
    mode: Mode
    stream: bool
    """Whether the answer comes in pieces."""
    attempt_id: str
    """The attempt's id in the ledger."""
    call_id: str
    group_id: str
    purpose: Purpose
    tags: Mapping[str, str] = field(default_factory=dict[str, str])

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """This request with further headers; they win over those of the same name."""
        return replace(self, headers={**self.headers, **{name.lower(): value for name, value in headers.items()}})

    def __repr__(self) -> str:
        told = f"{self.url!r}, attempt_id={self.attempt_id!r}, mode={self.mode!r}, model={self.model!r}"
        return f"Request({told}, stream={self.stream}, tags={dict(self.tags)!r}, headers={shown(self.headers)!r})"


@dataclass(frozen=True, kw_only=True)
class Response:
    """What came back, or what a middleware answers in the endpoint's place.

    An answer without streaming has its whole `body`, one with streaming has `chunks`; a refusal has its `body` in both.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Names in lower case."""
    body: bytes = b""
    chunks: AsyncIterator[bytes] | None = None
    """The bytes of a stream as they arrive. To look at them, return the response with an iterator that passes them on:
    `replace(response, chunks=…)`."""
    cached: bool = False
    """Whether it comes from a cache, so that nothing was sent for it."""

    @classmethod
    def of_json(cls, value: JSONValue, *, status: int = 200, cached: bool = False) -> Self:
        """A response whose body is `value`."""
        body = json.dumps(value, ensure_ascii=False).encode()
        return cls(status=status, headers={"content-type": "application/json"}, body=body, cached=cached)

    def __repr__(self) -> str:
        size = "stream" if self.chunks is not None else f"{len(self.body)} bytes"
        return f"Response({self.status}, {size}, cached={self.cached}, headers={shown(self.headers)!r})"


CallNext: TypeAlias = Callable[[Request], Awaitable[Response]]
"""Sends the request through the rest of the middleware, or to the endpoint."""

Middleware: TypeAlias = Callable[[Request, CallNext], Awaitable[Response]]
"""`async def middleware(request, call_next)`, which returns what `await call_next(request)` gave, or its own response.

A plain function will do where it only changes the request: `return call_next(request.with_headers(…))`.

An object that also has `async def find_answer(request)` is asked before anything is reserved. Where it returns a
response and not `None`, that is the answer: nothing is sent, so it needs no room in a budget, and no endpoint that can
be reached. The middleware around it sees the request and that response, as if it had been called."""
