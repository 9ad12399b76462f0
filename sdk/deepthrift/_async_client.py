"""The asynchronous client."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self

from deepthrift._async_batches import AsyncBatches
from deepthrift._async_requests import AsyncRequests
from deepthrift._breaker import CircuitBreaker
from deepthrift._endpoints import Endpoint, EndpointStatus, Shared, Upstream, Upstreams, upstreams_of
from deepthrift._engine_options import EngineOptions
from deepthrift._expected_length import ExpectedLength
from deepthrift._messages import JSONObject, Messages
from deepthrift._network import Cert, Network, Verify
from deepthrift._options import ChatOptions, Options, options_of
from deepthrift._reply import Reply
from deepthrift._secrets import shown_url
from deepthrift._stream import AsyncStream, Source
from deepthrift._under_way import UnderWay
from deepthrift.errors import ClientClosed, ConfigurationError, DeepthriftError, EngineCrashed, StreamInterrupted
from deepthrift.hosts import Feature, HostProfile
from deepthrift_pricing import Currency, Estimate, Ledger, Mode, PrefixTracker, PriceBook

# The HTTP stack is loaded with the first client: the command line and the tests of types do without it.
if TYPE_CHECKING:
    import httpx

    from deepthrift._call import Call
    from deepthrift._core import Core
    from deepthrift._estimate import Bound
    from deepthrift.local import Engine
    from deepthrift.middleware import Middleware


_BREAKER: Final = CircuitBreaker()


class AsyncClient(AsyncRequests, AsyncBatches):
    """A client for an endpoint of V3.1, or for several: every call priced, budgeted, booked and checked.

    Use it in `async with`, or call `aclose()`. It belongs to the event loop in which it was first used.

    Args:
        base_url: Where the endpoint is, with its `/v1`; left out, the host's own address, or `OPENAI_BASE_URL` for the
            generic host.
        endpoints: Several endpoints of the model in place of one, the preferred first; see `Endpoint`.
        host: A profile or the name of one (`HostProfile.names()`); left out, it is told from the URL.
        model: The model's name; left out, the host's own.
        api_key: Sent as a bearer token. Left out, the host's environment variable, for the host's own addresses only.
        region: Where the endpoint keeps the data, in a name of yours, such as `"eu"`.
        regions: The only regions to which anything is sent; left out, all.
        prices: A price book, the name of a packaged profile, or the path of a TOML file; left out, official prices.
        ledger: Where attempts are booked and budgets are held; left out, one in memory, for this process only.
        tags: Labels that every attempt carries in the ledger.
        timeout: Seconds that one attempt may take.
        idle_timeout: Seconds that a stream may be silent.
        deadline: Seconds that a whole call may take, retries and waiting included; `None` is no limit.
        max_retries: Further attempts after a failure that another attempt may mend.
        retry_unanswered: Whether to try again, too, when an answer was lost that may be billed.
        budget_wait: Seconds to wait for room in a budget; `None` waits as long as room can come free.
        max_concurrency: The most attempts at a time; further ones wait in the order of coming.
        circuit_breaker: When an endpoint that fails is left alone; `None` is never, but for a used up balance.
        on_mode_mismatch: Whether a mode that was not honoured is a warning on the reply, or an error.
        headers: Further headers.
        extra_body: Further fields of every request.
        proxy: The URL of a proxy, with its user and password if it wants them; left out, the environment's.
        verify: Whom to trust: `True` for the usual authorities, a file or folder of your own, or an `ssl.SSLContext`.
        cert: A client certificate: a PEM file with its key, or the certificate, its key and the key's password.
        http2: Whether HTTP/2 is offered; needs `deepthrift[http2]`.
        transport: An httpx transport in place of the client's own.
        middleware: Functions around every attempt, the first one outermost; see `deepthrift.middleware`.
        max_response_bytes: The largest response that is read, in bytes after unpacking; 64 MiB. Left at that, a stream
            whose `max_tokens` need more may be larger.
        stop_beyond_max_tokens: Whether a stream that runs far past its `max_tokens` is ended. Its reply has the finish
            reason `length` and a warning, and what arrived is booked.

    Raises:
        ConfigurationError: A setting is wrong.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        endpoints: Sequence[Endpoint] | None = None,
        host: str | HostProfile | None = None,
        model: str | None = None,
        api_key: str | None = None,
        region: str | None = None,
        regions: Collection[str] | None = None,
        prices: PriceBook | str | Path | None = None,
        ledger: Ledger | None = None,
        tags: Mapping[str, str] | None = None,
        timeout: float = 600.0,
        idle_timeout: float = 120.0,
        deadline: float | None = None,
        max_retries: int = 2,
        retry_unanswered: bool = False,
        budget_wait: float | None = None,
        max_concurrency: int | None = None,
        circuit_breaker: CircuitBreaker | None = _BREAKER,
        on_mode_mismatch: Literal["warn", "raise"] = "warn",
        headers: Mapping[str, str] | None = None,
        extra_body: JSONObject | None = None,
        proxy: str | None = None,
        verify: Verify = True,
        cert: Cert | None = None,
        http2: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        middleware: Sequence[Middleware] = (),
        max_response_bytes: int = 64 * 2**20,
        stop_beyond_max_tokens: bool = False,
    ) -> None:
        from deepthrift._core import Settings

        settings = Settings(
            timeout=timeout,
            idle_timeout=idle_timeout,
            deadline=deadline,
            max_retries=max_retries,
            retry_unanswered=retry_unanswered,
            budget_wait=budget_wait,
            on_mode_mismatch=on_mode_mismatch,
            tags=dict(tags or {}),
            extra_body=dict(extra_body or {}),
            middleware=_callables(middleware),
            max_response_bytes=max_response_bytes,
            stop_beyond_max_tokens=stop_beyond_max_tokens,
        )
        own = Endpoint(
            base_url,
            host=host,
            model=model,
            api_key=api_key,
            region=region,
            max_concurrency=max_concurrency,
            transport=transport,
        )
        self._own_ledger = ledger is None
        self._ledger = Ledger.open("memory:") if ledger is None else ledger
        self._prefixes = PrefixTracker()
        network = Network(proxy=proxy, verify=verify, cert=cert, http2=http2)
        self._shared = Shared(settings, self._ledger, self._prefixes, circuit_breaker, dict(headers or {}), network)
        self._settings = settings
        try:
            self._upstreams: Upstreams | None = upstreams_of(own, endpoints, prices, regions, self._shared)
        except BaseException:
            if self._own_ledger:
                self._ledger.close()
            raise
        self._prices = self._upstreams.first.prices
        self._engine: Engine | None = None
        self._machine_hour: tuple[Decimal | str, Decimal | str] | None = None
        self._own_engine = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._under_way = UnderWay()
        self._closed = False

    @classmethod
    def local(
        cls,
        model: str | Path | None = None,
        *,
        prices: PriceBook | str | Path | None = None,
        ledger: Ledger | None = None,
        context: int | None = None,
        slots: int = 1,
        threads: int | None = None,
        template: str | Path | None = None,
        share: bool | str = False,
        idle_shutdown: float | None = None,
        tags: Mapping[str, str] | None = None,
        timeout: float = 600.0,
        idle_timeout: float = 120.0,
        deadline: float | None = None,
        max_retries: int = 2,
        budget_wait: float | None = None,
        engine: Engine | None = None,
        middleware: Sequence[Middleware] = (),
        max_response_bytes: int = 64 * 2**20,
        stop_beyond_max_tokens: bool = False,
        machine_hour: Decimal | str | None = None,
        utilisation: Decimal | str = "1",
    ) -> Self:
        """A client for a model on this machine; the engine starts on `async with` and ends with it.

        Args:
            model: A name from `deepthrift models`, or the path of a GGUF file; left out, the small default model.
            prices: As for the client; left out, the project's own per-mode prices (`brief`).
            ledger: As for the client.
            context: Tokens of context for each request.
            slots: Requests answered at the same time.
            threads: Processor threads.
            template: A chat template of your own.
            share: Whether processes that ask for the same engine share one, which ends with the last of them: `True`,
                or a name, which must then mean the same settings everywhere. Linux and macOS.
            idle_shutdown: Seconds without a request after which the engine is stopped, to be started again by the next
                call; left out, it keeps running.
            tags: As for the client.
            timeout: As for the client.
            idle_timeout: As for the client.
            deadline: As for the client.
            max_retries: As for the client.
            budget_wait: As for the client.
            engine: An engine that you have configured yourself, in place of `model` and of `context` to
                `idle_shutdown`. One that runs already is left running, so several clients can use it.
            middleware: As for the client.
            max_response_bytes: As for the client.
            stop_beyond_max_tokens: As for the client.
            machine_hour: What this machine costs for an hour, in USD. The engine is measured when it starts, and calls
                are booked at what their tokens then cost here; see `deepthrift.local.measure`.
            utilisation: With `machine_hour`, the share of the time in which the machine is busy.

        Raises:
            MissingExtra: `deepthrift[local]` is not installed.
            ConfigurationError: A setting is wrong.
        """
        from deepthrift.local._options import engine_of

        if machine_hour is not None and prices is not None:
            raise ConfigurationError("prices come from prices=… or from machine_hour=…, not from both")
        if machine_hour is not None:
            from deepthrift.local._measure import check_hour

            check_hour(machine_hour, utilisation)
        wanted: EngineOptions = {
            "context": context,
            "slots": slots,
            "threads": threads,
            "template": template,
            "share": share,
            "idle_shutdown": idle_shutdown,
        }
        engine = engine_of(engine, model, wanted)
        made = cls(
            "http://127.0.0.1",
            host="local",
            prices="brief" if prices is None else prices,
            ledger=ledger,
            tags=tags,
            timeout=timeout,
            idle_timeout=idle_timeout,
            deadline=deadline,
            max_retries=max_retries,
            budget_wait=budget_wait,
            circuit_breaker=None,  # an engine that died is started again, not left alone
            middleware=middleware,
            max_response_bytes=max_response_bytes,
            stop_beyond_max_tokens=stop_beyond_max_tokens,
        )
        made._upstreams = None
        made._machine_hour = None if machine_hour is None else (machine_hour, utilisation)
        made._engine = engine
        return made

    # -- state ------------------------------------------------------------------------------------------------------

    @property
    def host(self) -> HostProfile:
        """The profile of the endpoint.

        Raises:
            ConfigurationError: A local client has not been entered yet.
        """
        return self._running.first.connection.profile

    @property
    def model(self) -> str:
        """The model's name."""
        return self._running.first.connection.model

    @property
    def base_url(self) -> str:
        """Where the endpoint is; what its query may hold as a secret is hidden."""
        return shown_url(self._running.first.connection.url)

    @property
    def endpoints(self) -> tuple[EndpointStatus, ...]:
        """How each endpoint is doing: its circuit, its limit, what is under way and what waits."""
        return tuple(upstream.status for upstream in self._running.all)

    @property
    def ledger(self) -> Ledger:
        """Where attempts are booked."""
        return self._ledger

    @property
    def prefixes(self) -> PrefixTracker:
        """Hashes of the prompts that were sent lately, in memory: what a prefix cache will know of the next one."""
        return self._prefixes

    @property
    def prices(self) -> PriceBook:
        """The prices in force."""
        return self._prices

    def __repr__(self) -> str:
        if self._upstreams is None:
            return f"<{type(self).__name__} of a local engine that is not running>"
        to = self._upstreams.first.connection
        return f"<{type(self).__name__} {to.profile.name} {to.model} at {shown_url(to.url)}>"

    async def __aenter__(self) -> Self:
        """Start the local engine, if there is one.

        Raises:
            EngineError: It could not be started.
        """
        self._check_loop()
        engine = self._engine
        if engine is not None and self._upstreams is None:
            from deepthrift._connect import Connection

            self._own_engine = not engine.running
            try:
                if self._own_engine:
                    await engine.__aenter__()
                if self._machine_hour is not None:
                    from deepthrift.local import measure

                    hour, busy = self._machine_hour
                    self._prices = PriceBook([(await measure(engine)).price(hour, utilisation=busy)])
            except BaseException:
                await self.aclose()
                raise
            connection = Connection(url=f"{engine.url}/v1", profile=engine.profile, model=engine.model, key=engine.key)
            self._upstreams = Upstreams(
                [Upstream(Endpoint(transport=engine.transport()), connection, self._prices, self._shared)], None
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, *, grace: float = 0.0) -> None:
        """Close every connection, and book what was under way. Safe to call twice.

        Args:
            grace: Seconds that calls and streams under way get to come to their end; new ones are refused meanwhile.

        Raises:
            ConfigurationError: The client was used in another event loop; its connections can be closed only there.
        """
        self._closed = True
        try:
            self._check_same_loop()
            await self._under_way.end(grace)
        finally:
            await self._close()

    async def _close(self) -> None:
        try:
            if self._upstreams is not None and self._loop in (None, asyncio.get_running_loop()):
                await self._upstreams.aclose()
        finally:
            if self._engine is not None:
                self._upstreams = None
                if self._own_engine:
                    await self._engine.aclose()
            if self._own_ledger:
                await self._ledger.aclose()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _bound(self, messages: Messages, mode: Mode, max_tokens: int | None, options: ChatOptions) -> Bound:
        """What `estimate` bounds, for who asks for that alone: neither the ledger nor the cache is looked into."""
        from deepthrift._estimate import bound_over

        given = options_of(messages, mode, max_tokens, options)
        return bound_over(self._running.allowed(given.regions), given)

    def _estimated(
        self, given: Options, prefixes: PrefixTracker | None, expected_length: ExpectedLength | None
    ) -> Estimate:
        from deepthrift._estimate import estimate_over

        return estimate_over(self._running.allowed(given.regions), self._ledger, prefixes, given, expected_length)

    @property
    def _currency(self) -> Currency:
        return self._running.first.currency

    @property
    def _running(self) -> Upstreams:
        if self._upstreams is None:
            raise ConfigurationError("the local engine is not running; use the client in `async with`")
        return self._upstreams

    @property
    def _core(self) -> Core | None:
        return None if self._upstreams is None else self._upstreams.first.built

    def _features(self, mode: Mode) -> frozenset[Feature]:
        found = self._running.first.connection.profile.rules(mode).features
        for each in self._running.allowed(None):
            found &= each.connection.profile.rules(mode).features
        return found

    def _check_loop(self) -> None:
        if self._closed:
            raise ClientClosed("the client is closed; make a new one")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError("an AsyncClient works inside an event loop; elsewhere, use Client") from None
        if self._loop is None:
            self._loop = loop
        self._check_same_loop()

    def _check_same_loop(self) -> None:
        if self._loop not in (None, asyncio.get_running_loop()):
            raise ConfigurationError(
                "this AsyncClient was first used in another event loop; make one for each loop, or use Client"
            )

    async def _answered(self, options: Options) -> Reply:
        call = self._call(options, stream=False)
        try:
            return await self._under_way.run(call, call.run())
        except DeepthriftError as error:
            await self._blame_engine(error)
            raise

    def _streamed(self, options: Options) -> AsyncStream:
        call = self._call(options, stream=True)
        source = Source(call, asyncio.get_running_loop(), self._blame_engine, self._under_way.over)
        self._under_way.sources.add(source)
        return AsyncStream(source)

    def _call(self, options: Options, *, stream: bool) -> Call:
        from deepthrift._call import Call

        return Call(self._cores(options), options, stream=stream)

    def _cores(self, options: Options) -> list[Core]:
        """The endpoints that the call may use, in order of preference."""
        self._check_loop()
        return [each.core for each in self._running.allowed(options.regions)]

    def _ready(self) -> Core:
        """What the calls of the preferred endpoint share."""
        self._check_loop()
        return self._running.first.core

    async def _blame_engine(self, error: DeepthriftError) -> None:
        """Raise the engine's own death instead of the broken stream that it caused."""
        crash = error.__cause__
        if isinstance(error, StreamInterrupted) and isinstance(crash, EngineCrashed):
            crash.request, crash.attempt_ids, crash.spend = error.request, error.attempt_ids, error.spend
            raise crash from error


def _callables(middleware: Sequence[Middleware]) -> tuple[Middleware, ...]:
    if callable(middleware) or not all(map(callable, middleware)):
        raise ConfigurationError("middleware is a list of functions of a request and call_next")
    return tuple(middleware)
