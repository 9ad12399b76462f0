"""In the place of the network, under openai's client: requests are routed, and go out through the router alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import httpx
import openai

from deepthrift import AsyncClient, Client
from deepthrift.errors import DeepthriftError, NotFound
from deepthrift_router._decide.preferences import RouteOptions
from deepthrift_router._door.router import ModeRouter
from deepthrift_router._door.stream import AsyncRoutedStream
from deepthrift_router._record.reply import RoutedReply
from deepthrift_router.compat._answers import Chunks, completion
from deepthrift_router.compat._failures import as_openai, failed
from deepthrift_router.compat._requests import ROUTED, ChatRequest, read_request
from deepthrift_router.compat._routes import Routes

RETRIES: Final = "x-deepthrift-max-retries"
_OWN_HEADERS: Final = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent", RETRIES}
    | {"authorization", "idempotency-key", "transfer-encoding"}
)
"""Headers of openai's client that mean nothing to an endpoint of V3.1, or are set by our own."""
_OWN_PREFIXES: Final = ("x-stainless-", "openai-")
C = TypeVar("C", bound=AsyncClient | Client)


@dataclass(slots=True)
class OpenStream:
    """A stream that has begun: its chunks, and what was in it when the first byte could be told."""

    stream: AsyncRoutedStream
    chunks: Chunks
    begun: list[bytes]

    async def more(self) -> list[bytes]:
        """The next chunks; none at the end."""
        if self.begun:
            begun, self.begun = self.begun, []
            return begun
        while events := await self.stream.batch():
            if found := [chunk for event in events for chunk in self.chunks.of(event)]:
                return found
        return []


class RequestHandler:
    """Answers requests; the same for both kinds of client."""

    def __init__(self, key: str | None, *, forwards_key: bool) -> None:
        self._key = f"Bearer {key}"
        self._forwards_key = forwards_key

    def work(
        self, routes: Routes[C], request: httpx.Request, content: bytes
    ) -> tuple[ModeRouter[C], Coroutine[object, object, bytes | OpenStream]]:
        """Which router answers a request, and how.

        Raises:
            DeepthriftError: None does.
        """
        chat, wanted = _place(request)
        if not chat:
            return routes.first, self._models(routes.first, wanted)
        spec = read_request(content)
        router = routes.of(spec.model)
        return router, self._chat(router, spec, request)

    async def _chat(self, router: ModeRouter[C], spec: ChatRequest, request: httpx.Request) -> bytes | OpenStream:
        options = self._options(spec.options, request)
        if spec.stream:
            return await self._stream(router, spec, options)
        calls = [options, *({**options, "group_id": None} for _ in range(spec.n - 1))]
        tasks = [asyncio.ensure_future(_one(router, spec, cast("RouteOptions", each))) for each in calls]
        try:
            return completion(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _models(self, router: ModeRouter[C], wanted: str) -> bytes:
        listed = [str(each) for each in await router._async.models()]  # pyright: ignore[reportPrivateUsage]
        names = [*ROUTED, *(name for name in listed if name not in ROUTED)]
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "deepthrift"} for name in names]
        if not wanted:
            return json.dumps({"object": "list", "data": data}).encode()
        if wanted not in names:
            raise NotFound(f"there is no model {wanted!r} here; models.list() has all", status=404)
        return json.dumps(data[names.index(wanted)]).encode()

    async def _stream(self, router: ModeRouter[C], spec: ChatRequest, options: RouteOptions) -> OpenStream:
        client = router._async  # pyright: ignore[reportPrivateUsage]
        chunks = Chunks(str(options.get("group_id")), client.model, include_usage=spec.include_usage)
        stream = AsyncRoutedStream(
            lambda presenter: router._chat(spec.messages, spec.max_tokens, options, presenter),  # pyright: ignore[reportPrivateUsage]
            "verified",
        )
        opened = OpenStream(stream, chunks, [])
        try:
            opened.begun = await opened.more()  # an error comes as a status, like an endpoint's
        except BaseException:
            await stream.aclose()
            raise
        return opened

    def _options(self, defaults: RouteOptions, request: httpx.Request) -> RouteOptions:
        """The options of a call with what openai's client says in headers and beside them."""
        options = defaults.copy()
        headers = {
            name: value
            for name, value in request.headers.items()
            if name not in _OWN_HEADERS and not name.startswith(_OWN_PREFIXES)
        }
        key = request.headers.get("authorization")
        if self._forwards_key and key and key != self._key:  # changed since, by with_options or a function
            headers["authorization"] = key
        if headers:
            options["extra_headers"] = headers
        if RETRIES in request.headers:
            options["max_retries"] = int(request.headers[RETRIES])
        limits = cast("dict[str, float | None]", request.extensions.get("timeout") or {})
        if limits.get("read") is not None:
            options["timeout"] = limits["read"]
        return options


async def _one(router: ModeRouter[C], spec: ChatRequest, options: RouteOptions) -> RoutedReply:
    return await router._chat(spec.messages, spec.max_tokens, options, None)  # pyright: ignore[reportPrivateUsage]


def _place(request: httpx.Request) -> tuple[bool, str]:
    """Whether a request is a chat, and else the model that it asks about.

    Raises:
        NotFound: It is neither.
    """
    path = request.url.path
    if request.method == "POST" and path.endswith("/chat/completions"):
        return True, ""
    _, mark, wanted = path.partition("/models")
    if request.method == "GET" and mark:
        return False, wanted.removeprefix("/")
    raise NotFound(f"{request.method} {path} is not routed: the router answers chat.completions and models", status=404)


_JSON: Final = {"content-type": "application/json"}
_EVENTS: Final = {"content-type": "text/event-stream"}


class AsyncTransport(httpx.AsyncBaseTransport):
    """For `AsyncOpenAI`."""

    def __init__(self, routes: Routes[AsyncClient], handler: RequestHandler) -> None:
        self.routes = routes
        self._handler = handler

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, or a response that stands for an error."""
        content = await request.aread()
        try:
            _, work = self._handler.work(self.routes, request, content)
            answered = await work
        except DeepthriftError as error:
            return failed(error, request)
        if isinstance(answered, bytes):
            return httpx.Response(200, headers=_JSON, content=answered, request=request)
        return httpx.Response(200, headers=_EVENTS, stream=_AsyncBody(answered, request), request=request)

    async def aclose(self) -> None:
        """Close what was opened for the facade."""
        async with AsyncExitStack() as ends:  # whatever fails to close, the others are closed
            ends.callback(self.routes.close_ledger)
            for router in self.routes.own:
                ends.push_async_callback(router.client.aclose)
                ends.push_async_callback(router.aclose)


class Transport(httpx.BaseTransport):
    """For `OpenAI`."""

    def __init__(self, routes: Routes[Client], handler: RequestHandler) -> None:
        self.routes = routes
        self._handler = handler

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, or a response that stands for an error."""
        content = request.read()
        try:
            router, work = self._handler.work(self.routes, request, content)
            answered = router.client.run(work)
        except DeepthriftError as error:
            return failed(error, request)
        if isinstance(answered, bytes):
            return httpx.Response(200, headers=_JSON, content=answered, request=request)
        return httpx.Response(200, headers=_EVENTS, stream=_Body(answered, request, router.client), request=request)

    def close(self) -> None:
        """Close what was opened for the facade."""
        with ExitStack() as ends:
            ends.callback(self.routes.close_ledger)
            for router in self.routes.own:
                ends.callback(router.client.close)
                ends.callback(router.close)


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, opened: OpenStream, request: httpx.Request) -> None:
        self._opened = opened
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while chunks := await self._opened.more():
                for chunk in chunks:
                    yield chunk
        except DeepthriftError as error:
            raise _broken(error, self._request) from error

    async def aclose(self) -> None:
        await self._opened.stream.aclose()


class _Body(httpx.SyncByteStream):
    def __init__(self, opened: OpenStream, request: httpx.Request, client: Client) -> None:
        self._opened = opened
        self._request = request
        self._client = client
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            while chunks := self._client.run(self._opened.more()):
                yield from chunks
        except DeepthriftError as error:
            raise _broken(error, self._request) from error

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._client.run(self._opened.stream.aclose())


def _broken(error: DeepthriftError, request: httpx.Request) -> Exception:
    """What is raised in the middle of a stream, where no status can be told any more."""
    usual = openai.APIError(error.message, cast("Any", request), body=None)
    return as_openai(error, request, usual)
