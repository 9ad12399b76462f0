"""Real traffic, recorded once and replayed offline."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Literal, cast

import httpx

from deepthrift._net.unpacking import encodings_of, unpacked
from deepthrift._types.errors import ConfigurationError, UnmatchedRequest
from deepthrift.testing._cassette import Cassette, Exchange
from deepthrift.testing._scrub import Scrubber


class Recorder(httpx.AsyncBaseTransport):
    """A transport that records real traffic in a file, and from then on answers from the file, without a network.

    The file is JSON Lines, to be kept beside the tests. **It holds prompts and answers**, and no secrets: of a request,
    no headers are kept; of a response, those that the client reads. Keys and cookies are struck out of URLs, bodies and
    answers, whole or spread over the events of a stream.

    Replaying is strict: a request is answered by the first recorded one with the same method, path and body that was
    not used yet, and anything else is an error. The client books what was recorded, as it did then.

    Args:
        path: The file.
        mode: `"record"` anew, `"replay"`, or `"auto"`: replay the file if there is one, else record it.
        transport: How the real endpoint is reached while recording; left out, the client's own way.

    Raises:
        ConfigurationError: The file cannot be read or written.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        mode: Literal["auto", "record", "replay"] = "auto",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if mode not in ("auto", "record", "replay"):
            raise ConfigurationError(f"mode is 'auto', 'record' or 'replay', not {mode!r}")
        self._cassette = Cassette(Path(path))
        self._scrub = Scrubber()
        self._given = transport
        self._inner: dict[str, httpx.AsyncBaseTransport] = {}
        self.recording = mode == "record" or (mode == "auto" and not self._cassette.path.exists())
        """Whether the real endpoint is asked."""
        if self.recording:
            self._cassette.create()
        self._left: list[Exchange] = (
            [] if self.recording else [self._scrub.known(each) for each in self._cassette.read()]
        )
        self._used: list[Exchange] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer from the file, or from the endpoint.

        Raises:
            UnmatchedRequest: The file has no answer.
        """
        content = await request.aread()
        self._scrub.learn(request)
        path, body = self._scrub.path(request.url), self._scrub.body(content)
        if not self.recording:
            return self._replayed(self._found(request.method, path, body), request)
        response = await self._transport(request.url).handle_async_request(request)
        status, kept = response.status_code, self._scrub.headers(response.headers)

        def write(answer: bytes, complete: bool) -> None:
            told = self._scrub.answer(answer)
            self._cassette.append(Exchange(request.method, path, body, status, kept, told, complete))

        framing = ("content-encoding", "content-length", "transfer-encoding")
        headers = {name: value for name, value in response.headers.items() if name not in framing}
        return httpx.Response(status, headers=headers, stream=_RecordingBody(response, write))

    def _transport(self, url: httpx.URL) -> httpx.AsyncBaseTransport:
        if self._given is not None:
            return self._given
        from deepthrift._net.choose import transport_for
        from deepthrift._net.network import Network

        origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        if origin not in self._inner:
            self._inner[origin] = transport_for(url, Network())
        return self._inner[origin]

    def _found(self, method: str, path: str, body: object) -> Exchange:
        for place, exchange in enumerate(self._left):
            if exchange.matches(method, path, body):
                self._used.append(self._left.pop(place))
                return self._used[-1]
        if any(exchange.matches(method, path, body) for exchange in self._used):
            told = "was recorded, and asked for more often than it was then"
        else:
            told = self._difference(method, path, body)
        raise UnmatchedRequest(
            f"{method} {path} {told}; {len(self._left)} recorded answers are left. If the request is meant to be so, "
            f"record {str(self._cassette.path)!r} anew"
        )

    def _difference(self, method: str, path: str, body: object) -> str:
        """What is different in the recorded request that is most like this one; names of fields alone."""
        near = [each for each in self._left if (each.method, each.path) == (method, path)]
        if not near:
            return "was not recorded"
        fields = _fields(body)

        def differing(exchange: Exchange) -> list[str]:
            held = _fields(exchange.asked)
            return sorted(name for name in {*fields, *held} if fields.get(name) != held.get(name))

        nearest = min((differing(exchange) for exchange in near), key=len)
        return f"differs from what was recorded in {', '.join(nearest) or 'its body'}"

    def _replayed(self, exchange: Exchange, request: httpx.Request) -> httpx.Response:
        return httpx.Response(exchange.status, headers=exchange.headers, stream=_ReplayBody(exchange, request))

    @property
    def left(self) -> int:
        """How many recorded answers were not asked for yet."""
        return len(self._left)

    def assert_all_used(self) -> None:
        """Nothing, if every recorded answer was asked for.

        Raises:
            UnmatchedRequest: Some were not.
        """
        if self._left:
            first = self._left[0]
            raise UnmatchedRequest(
                f"{len(self._left)} recorded answers were not asked for, {first.method} {first.path} for one"
            )

    async def aclose(self) -> None:
        """Close the way to the real endpoint. The recorder can be used again."""
        inner, self._inner = list(self._inner.values()), {}
        for transport in [*inner, *([] if self._given is None else [self._given])]:
            await transport.aclose()


def _fields(body: object) -> dict[str, object]:
    return cast("dict[str, object]", body) if isinstance(body, dict) else {}


class _RecordingBody(httpx.AsyncByteStream):
    """The body of a real response, which is written down once it has ended, or was left."""

    def __init__(self, response: httpx.Response, write: Callable[[bytes, bool], None]) -> None:
        self._response = response
        self._write: Callable[[bytes, bool], None] | None = write
        self._parts: list[bytes] = []

    async def __aiter__(self) -> AsyncIterator[bytes]:
        stream = cast("httpx.AsyncByteStream", self._response.stream)
        async for part in unpacked(stream.__aiter__(), encodings_of(self._response.headers)):
            self._parts.append(part)
            yield part
        self._end(complete=True)

    def _end(self, *, complete: bool) -> None:
        write, self._write = self._write, None
        if write is not None:
            write(b"".join(self._parts), complete)

    async def aclose(self) -> None:
        self._end(complete=b"data: [DONE]" in b"".join(self._parts[-2:]))
        await self._response.aclose()


class _ReplayBody(httpx.AsyncByteStream):
    """A recorded body, a stream event by event."""

    def __init__(self, exchange: Exchange, request: httpx.Request) -> None:
        self._exchange = exchange
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if "event-stream" in self._exchange.headers.get("content-type", ""):
            for event in self._exchange.answer.replace("\r\n", "\n").split("\n\n"):
                if event:
                    yield f"{event}\n\n".encode()
        else:
            yield self._exchange.answer.encode()
        if not self._exchange.complete:
            raise httpx.ReadError("the recording ends here: the connection was left or lost", request=self._request)
