"""The synchronous client: a thin door to the asynchronous one, which runs on an event loop of its own."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, TypedDict, TypeVar, Unpack

from deepthrift._async_client import AsyncClient
from deepthrift._batches import Batches
from deepthrift._breaker import CircuitBreaker
from deepthrift._endpoints import Endpoint, EndpointStatus
from deepthrift._engine_options import EngineOptions
from deepthrift._events import StreamEvent
from deepthrift._loop import Loop
from deepthrift._messages import JSONObject
from deepthrift._network import Cert, Verify
from deepthrift._pulled import Pulled
from deepthrift._reply import Reply
from deepthrift._requests import Requests
from deepthrift._stream import AsyncStream
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Ledger, PrefixTracker, PriceBook

if TYPE_CHECKING:
    import httpx

    from deepthrift.local import Engine
    from deepthrift.middleware import Middleware

T = TypeVar("T")


class Stream(Pulled[StreamEvent]):
    """A call whose answer arrives in pieces: `with client.stream(…) as stream: for event in stream: …`.

    Leaving the loop or the block in any way stops the upstream at once and books what arrived. Events end with
    `Finished`, whose reply `stream.reply` returns as well.
    """

    def __init__(self, loop: Loop, stream: AsyncStream) -> None:
        super().__init__(loop, stream)
        self._stream = stream

    @property
    def reply(self) -> Reply:
        """The complete reply; after an early end, as much of it as had arrived.

        Raises:
            ConfigurationError: The stream has not ended; `snapshot()` has what there is.
        """
        return self._stream.reply

    def snapshot(self) -> Reply:
        """The reply as far as it has come, its usage and cost estimated."""
        return self._loop.run(_on_loop(self._stream.snapshot))


async def _on_loop(work: Callable[[], T]) -> T:
    return work()


class ClientSettings(TypedDict, total=False):
    """The keyword arguments of a client; see `AsyncClient` for what each one means."""

    endpoints: Sequence[Endpoint] | None
    host: str | HostProfile | None
    model: str | None
    api_key: str | None
    region: str | None
    regions: Collection[str] | None
    prices: PriceBook | str | Path | None
    ledger: Ledger | None
    tags: Mapping[str, str] | None
    timeout: float
    idle_timeout: float
    deadline: float | None
    max_retries: int
    retry_unanswered: bool
    budget_wait: float | None
    max_concurrency: int | None
    circuit_breaker: CircuitBreaker | None
    on_mode_mismatch: Literal["warn", "raise"]
    headers: Mapping[str, str] | None
    extra_body: JSONObject | None
    proxy: str | None
    verify: Verify
    cert: Cert | None
    http2: bool
    transport: httpx.AsyncBaseTransport | None
    middleware: Sequence[Middleware]
    max_response_bytes: int
    stop_beyond_max_tokens: bool


class LocalSettings(EngineOptions, total=False):
    """The keyword arguments of `Client.local`; see `AsyncClient.local` for what each one means."""

    prices: PriceBook | str | Path | None
    ledger: Ledger | None
    tags: Mapping[str, str] | None
    timeout: float
    idle_timeout: float
    deadline: float | None
    max_retries: int
    budget_wait: float | None
    engine: Engine | None
    middleware: Sequence[Middleware]
    max_response_bytes: int
    stop_beyond_max_tokens: bool
    machine_hour: Decimal | str | None
    utilisation: Decimal | str


class Client(Requests, Batches):
    """The same client for code without `await`: in scripts, in threads, and where an event loop is running already.

    Use it in `with`, or call `close()`. Any number of threads may share it.

    Args:
        base_url: As for `AsyncClient`.
        **settings: As for `AsyncClient`.

    Raises:
        ConfigurationError: A setting is wrong.
    """

    def __init__(self, base_url: str | None = None, **settings: Unpack[ClientSettings]) -> None:
        self._start(AsyncClient(base_url, **settings))

    def _start(self, client: AsyncClient) -> None:
        self._async = client
        self._loop = Loop()
        self._entered = False
        self._finalizer = weakref.finalize(self, self._loop.stop)

    @classmethod
    def local(cls, model: str | Path | None = None, **settings: Unpack[LocalSettings]) -> Self:
        """A client for a model on this machine; see `AsyncClient.local`.

        Raises:
            MissingExtra: `deepthrift[local]` is not installed.
        """
        made = cls.__new__(cls)
        made._start(AsyncClient.local(model, **settings))
        return made

    @property
    def _tasks(self) -> AsyncClient:
        return self._async

    def _run(self, work: Coroutine[object, object, T]) -> T:
        return self._loop.run(work)

    @property
    def host(self) -> HostProfile:
        """The profile of the endpoint."""
        return self._async.host

    @property
    def model(self) -> str:
        """The model's name."""
        return self._async.model

    @property
    def base_url(self) -> str:
        """Where the endpoint is."""
        return self._async.base_url

    @property
    def endpoints(self) -> tuple[EndpointStatus, ...]:
        """How each endpoint is doing; see `AsyncClient.endpoints`."""
        return self._async.endpoints

    @property
    def ledger(self) -> Ledger:
        """Where attempts are booked."""
        return self._async.ledger

    @property
    def prefixes(self) -> PrefixTracker:
        """Hashes of the prompts that were sent lately; see `AsyncClient.prefixes`."""
        return self._async.prefixes

    @property
    def prices(self) -> PriceBook:
        """The prices in force."""
        return self._async.prices

    def __repr__(self) -> str:
        return repr(self._async).replace("AsyncClient", "Client", 1)

    def __enter__(self) -> Self:
        """Start the local engine, if there is one.

        Raises:
            EngineError: It could not be started.
        """
        try:
            self._loop.run(self._async.__aenter__())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self, *, grace: float = 0.0) -> None:
        """Close every connection, and book what was under way; see `AsyncClient.aclose`. Safe to call twice."""
        if self._finalizer.alive:
            try:
                self._loop.run(self._async.aclose(grace=grace))
            finally:
                self._finalizer()

    def _opened(self, opening: Callable[[], AsyncStream]) -> Stream:
        return Stream(self._loop, self._loop.run(_on_loop(opening)))
