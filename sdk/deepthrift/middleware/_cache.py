"""Answers kept on disk, for requests that are exactly the same."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from deepthrift._types.errors import ConfigurationError
from deepthrift._wire.events.large import sized
from deepthrift.middleware._exchange import CallNext, Request, Response
from deepthrift.middleware._store import Store

_LOG: Final = logging.getLogger("deepthrift.cache")
_FRESH: Final = frozenset({"sample", "audit"})
"""Purposes whose whole point is another answer than the one before."""


class ResponseCache:
    """A middleware that answers a request from a file if exactly the same one was answered before.

    **It stores answers in plain text**, in a file that its owner alone can read; of requests it stores hashes. The same
    means: the same URL, model and body, to the letter. Streams are replayed as streams. Errors, refusals, blank and
    cut answers are not kept, and samples and audits are always asked anew. A reply from it has `cached`, and costs
    exactly nothing: it comes also when a budget is used up, a circuit is open, or the endpoint is away.

    Several processes may share a file. A file that cannot be read or written for a moment makes a miss, never an error.

    Args:
        path: The file; it is created where there is none.
        ttl: Seconds for which an answer is used.
        max_bytes: The most that all answers together may take; the oldest go first.

    Raises:
        ConfigurationError: A setting is wrong, or the file is something else.
    """

    def __init__(self, path: str | Path, *, ttl: float = 86_400.0, max_bytes: int = 256 * 2**20) -> None:
        if not ttl > 0:
            raise ConfigurationError(f"ttl is a positive number of seconds, not {ttl!r}")
        if max_bytes < 1:
            raise ConfigurationError(f"max_bytes is a positive number of bytes, not {max_bytes!r}")
        self._store = Store(Path(path), ttl, max_bytes)

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        """Answer from the file, or pass the request on and keep its answer."""
        if request.purpose in _FRESH:
            return await call_next(request)
        if (found := await self.find_answer(request)) is not None:
            return found
        key, response = key_of(request), await call_next(request)
        if response.status != 200 or response.cached:
            return response
        kind = response.headers.get("content-type", "application/json")
        if response.chunks is not None:
            return replace(response, chunks=self._kept(response.chunks, key, kind))
        if await sized(len(response.body), is_complete, response.body):
            self._store.put(key, response.body, kind)
        return response

    async def find_answer(self, request: Request) -> Response | None:
        """The answer in the file, if there is one. The client asks for it before it reserves anything."""
        found = None if request.purpose in _FRESH else self._store.get(key_of(request))
        if found is None:
            return None
        body, kind = found
        headers = {"content-type": kind}
        if request.stream:
            return Response(headers=headers, chunks=_events(body), cached=True)
        return Response(headers=headers, body=body, cached=True)

    async def _kept(self, chunks: AsyncIterator[bytes], key: bytes, kind: str) -> AsyncIterator[bytes]:
        parts: list[bytes] = []
        async for part in chunks:
            parts.append(part)
            # The caller may leave right after the end mark, so the answer is kept before it is passed on.
            if b"[DONE]" in part and await sized(len(body := b"".join(parts)), is_complete, body):
                self._store.put(key, body, kind)
            yield part

    def clear(self) -> None:
        """Forget every answer."""
        self._store.clear()

    def __len__(self) -> int:
        """How many answers it holds, those past their time included."""
        return self._store.count()

    def close(self) -> None:
        """Close the file. Safe to call twice; the next request opens it again."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def key_of(request: Request) -> bytes:
    """A hash of everything that decides the answer."""
    parts = [request.url, request.host, request.model, request.mode, request.body]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).digest()


def is_complete(body: bytes) -> bool:
    """Whether an answer, plain or as events, came to its own end and says something."""
    from deepthrift._wire.reply.accumulator import Accumulator
    from deepthrift._wire.reply.meter import Meter
    from deepthrift.hosts import HostProfile

    meter = Meter(Accumulator(HostProfile.named("openai"), "standard"))
    meter.whole(body)
    answer = meter.answer
    return answer is not None and not answer.blank and answer.finish_reason in ("stop", "tool_calls")


async def _events(body: bytes) -> AsyncIterator[bytes]:
    for event in body.replace(b"\r\n", b"\n").split(b"\n\n"):
        if event:
            yield event + b"\n\n"
