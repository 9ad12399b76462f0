"""What an endpoint really sent, kept beside what the client makes of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Final, cast

import httpx

_MOST: Final = 2_000_000
"""Bytes of one answer that are kept."""


class Recorder(httpx.AsyncBaseTransport):
    """A transport that keeps the body of the last answer."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self._kept = bytearray()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`, and keep what comes back."""
        response = await self._inner.handle_async_request(request)
        self._kept = bytearray()
        if not isinstance(response.stream, httpx.AsyncByteStream):
            return response
        stream = _RecordedStream(response.stream, self._kept)
        return httpx.Response(
            response.status_code, headers=response.headers, stream=stream, extensions=response.extensions
        )

    async def aclose(self) -> None:
        """Close the transport behind."""
        await self._inner.aclose()

    def documents(self) -> list[Mapping[str, object]]:
        """The JSON objects of the last answer: one, or one for each event of a stream."""
        text = self._kept.decode("utf-8", "replace").strip()
        lines = [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")]
        found: list[Mapping[str, object]] = []
        for part in lines or [text]:
            try:
                value: object = json.loads(part)
            except ValueError:
                continue
            if isinstance(value, Mapping):
                found.append(cast("Mapping[str, object]", value))
        return found

    def messages(self) -> list[Mapping[str, object]]:
        """The messages or deltas of the last answer."""
        found: list[Mapping[str, object]] = []
        for document in self.documents():
            for choice in _objects(document.get("choices")):
                found += [cast("Mapping[str, object]", choice[key]) for key in ("message", "delta") if choice.get(key)]
        return found

    def usage(self) -> Mapping[str, object] | None:
        """The last usage of the last answer."""
        found = [document["usage"] for document in self.documents() if isinstance(document.get("usage"), Mapping)]
        return cast("Mapping[str, object]", found[-1]) if found else None


def _objects(value: object) -> list[Mapping[str, object]]:
    listed = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Mapping[str, object]", each) for each in listed if isinstance(each, Mapping)]


class _RecordedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, into: bytearray) -> None:
        self._stream = stream
        self._into = into

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            if len(self._into) < _MOST:
                self._into += part
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
