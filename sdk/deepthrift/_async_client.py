"""The asynchronous client."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, Unpack

from deepthrift._async_batches import AsyncBatches
from deepthrift._async_requests import AsyncRequests
from deepthrift._expected_length import ExpectedLength
from deepthrift._messages import JSONObject, Messages
from deepthrift._options import ChatOptions, Options, options_of
from deepthrift._reply import Reply
from deepthrift._stream import AsyncStream, Source
from deepthrift.errors import APIError, ConfigurationError, ConnectionFailed, DeepthriftError, StreamInterrupted
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Currency, Estimate, Ledger, Mode, PrefixTracker, PriceBook

# The HTTP stack is loaded with the first client: the command line and the tests of types do without it.
if TYPE_CHECKING:
    import httpx

    from deepthrift._connect import Connection
    from deepthrift._core import Core
    from deepthrift.local import Engine
    from deepthrift.middleware import Middleware


class AsyncClient(AsyncRequests, AsyncBatches):
    """A client for one endpoint of V3.1: every call priced, budgeted, booked and checked.

    Use it in `async with`, or call `aclose()`. It belongs to the event loop in which it was first used.

    Args:
        base_url: Where the endpoint is, with its `/v1`; left out, the host's own address, or `OPENAI_BASE_URL` for the
            generic host.
        host: A profile or the name of one (`HostProfile.names()`); left out, it is told from the URL.
        model: The model's name; left out, the host's own.
        api_key: Sent as a bearer token. Left out, the host's environment variable, for the host's own addresses only.
        prices: A price book, the name of a packaged profile, or the path of a TOML file; left out, official prices.
        ledger: Where attempts are booked and budgets are held; left out, one in memory.
        tags: Labels that every attempt carries in the ledger.
        timeout: Seconds that one attempt may take.
        idle_timeout: Seconds that a stream may be silent.
        deadline: Seconds that a whole call may take, retries and waiting included; `None` is no limit.
        max_retries: Further attempts after a failure that another attempt may mend.
        retry_unanswered: Whether to try again, too, when an answer was lost that may be billed.
        budget_wait: Seconds to wait for room in a budget; `None` waits as long as room can come free.
        on_mode_mismatch: Whether a mode that was not honoured is a warning on the reply, or an error.
        headers: Further headers.
        extra_body: Further fields of every request.
        proxy: The proxy's URL; left out, the environment's.
        transport: An httpx transport in place of the client's own.
        middleware: Functions around every attempt, the first one outermost; see `deepthrift.middleware`.

    Raises:
        ConfigurationError: A setting is wrong.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        host: str | HostProfile | None = None,
        model: str | None = None,
        api_key: str | None = None,
        prices: PriceBook | str | Path | None = None,
        ledger: Ledger | None = None,
        tags: Mapping[str, str] | None = None,
        timeout: float = 600.0,
        idle_timeout: float = 120.0,
        deadline: float | None = None,
        max_retries: int = 2,
        retry_unanswered: bool = False,
        budget_wait: float | None = None,
        on_mode_mismatch: Literal["warn", "raise"] = "warn",
        headers: Mapping[str, str] | None = None,
        extra_body: JSONObject | None = None,
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        if on_mode_mismatch not in ("warn", "raise"):
            raise ConfigurationError(f"on_mode_mismatch is 'warn' or 'raise', not {on_mode_mismatch!r}")
        for name, value in (("timeout", timeout), ("idle_timeout", idle_timeout), ("deadline", deadline)):
            if value is not None and not value > 0:
                raise ConfigurationError(f"{name} is a positive number of seconds, not {value!r}")
        if budget_wait is not None and not budget_wait >= 0:
            raise ConfigurationError(f"budget_wait is a number of seconds, 0 or more, not {budget_wait!r}")
        if not all(isinstance(text, str) for pair in (tags or {}).items() for text in pair):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("tags are pairs of strings")
        if max_retries < 0:
            raise ConfigurationError(f"max_retries is 0 or more, not {max_retries!r}")
        from deepthrift._connect import connect, price_book
        from deepthrift._core import Settings

        self._settings = Settings(
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
        )
        self._prices = price_book(prices)
        self._connection: Connection | None = connect(base_url, host=host, model=model, api_key=api_key)
        # Opened last: a setting that is wrong leaves nothing open.
        self._own_ledger = ledger is None
        self._ledger = Ledger.open("memory:") if ledger is None else ledger
        self._transport = transport
        self._headers = dict(headers or {})
        self._proxy = proxy
        self._prefixes = PrefixTracker()
        self._engine: Engine | None = None
        self._core: Core | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sources: set[Source] = set()
        self._closed = False
        self._wanted_model = model

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
        tags: Mapping[str, str] | None = None,
        timeout: float = 600.0,
        idle_timeout: float = 120.0,
        deadline: float | None = None,
        max_retries: int = 2,
        budget_wait: float | None = None,
        engine: Engine | None = None,
        middleware: Sequence[Middleware] = (),
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
            tags: As for the client.
            timeout: As for the client.
            idle_timeout: As for the client.
            deadline: As for the client.
            max_retries: As for the client.
            budget_wait: As for the client.
            engine: An engine that you have configured yourself, in place of the settings above.
            middleware: As for the client.

        Raises:
            MissingExtra: `deepthrift[local]` is not installed.
        """
        from deepthrift.local import Engine

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
            middleware=middleware,
        )
        made._connection = None
        made._engine = engine or Engine(model, context=context, slots=slots, threads=threads, template=template)
        return made

    # -- state ------------------------------------------------------------------------------------------------------

    @property
    def host(self) -> HostProfile:
        """The profile of the endpoint.

        Raises:
            ConfigurationError: A local client has not been entered yet.
        """
        return self._connected().profile

    @property
    def model(self) -> str:
        """The model's name."""
        return self._connected().model

    @property
    def base_url(self) -> str:
        """Where the endpoint is."""
        return self._connected().url

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
        if self._connection is None:
            return f"<{type(self).__name__} of a local engine that is not running>"
        to = self._connection
        return f"<{type(self).__name__} {to.profile.name} {to.model} at {to.url}>"

    async def __aenter__(self) -> Self:
        """Start the local engine, if there is one.

        Raises:
            EngineError: It could not be started.
        """
        self._check_loop()
        if self._engine is not None and self._connection is None:
            from deepthrift._connect import Connection

            try:
                await self._engine.__aenter__()
            except BaseException:
                await self.aclose()
                raise
            profile = self._engine.profile
            url = self._engine.url.rstrip("/")
            self._connection = Connection(
                url=url if url.endswith("/v1") else f"{url}/v1",
                profile=profile,
                model=self._engine.model,
                key=self._engine.key,
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End what is under way, book it, and close every connection. Safe to call twice."""
        self._closed = True
        for source in list(self._sources):
            await source.aclose()
        core, self._core = self._core, None
        try:
            if core is not None:
                await core.endpoint.aclose()
            elif self._transport is not None:
                await self._transport.aclose()
        finally:
            if self._engine is not None:
                self._connection = None
                await self._engine.aclose()
            if self._own_ledger:
                self._ledger.close()

    # -- calls ------------------------------------------------------------------------------------------------------

    async def chat(
        self,
        messages: Messages,
        *,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> Reply:
        """One complete answer.

        Args:
            messages: A conversation in the OpenAI shape, or a string for one user message. It is not changed.
            mode: `"standard"` or `"thinking"`.
            max_tokens: The most tokens to generate, reasoning included; left out, the host's own default is reserved.
            **options: See `ChatOptions`.

        Raises:
            InvalidRequestError: The request is wrong; nothing was sent.
            PriceNotFound: It has no price; nothing was sent.
            BudgetExceeded: It does not fit a budget; nothing was sent.
            APIError: The endpoint could not be used, or answered with an error.
            ResponseError: The answer cannot be used.
        """
        return await self._answered(options_of(messages, mode, max_tokens, options))

    def stream(
        self,
        messages: Messages,
        *,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncStream:
        """One answer as it arrives; see `chat` for the arguments and errors, and `AsyncStream` for its use."""
        return self._streamed(options_of(messages, mode, max_tokens, options))

    def estimate(
        self,
        messages: Messages,
        *,
        mode: Mode = "standard",
        max_tokens: int | None = None,
        expected_length: ExpectedLength | None = None,
        **options: Unpack[ChatOptions],
    ) -> Estimate:
        """What a call will cost at least, probably and at most, before it is sent. Sends nothing itself.

        Args:
            messages: As for `chat`, and so are `mode`, `max_tokens` and `options`.
            mode: The mode to estimate; the other one is another estimate.
            max_tokens: The most tokens to generate.
            expected_length: Tells how many tokens the answer will have, or `None` if it does not know; left out, the
                ledger's own history of this host, model and mode tells.
            **options: See `ChatOptions`.

        Raises:
            InvalidRequestError: The request is wrong.
            PriceNotFound: It has no price.
        """
        from deepthrift._estimate import estimate_call

        connection = self._connected()
        return estimate_call(
            connection.profile,
            connection.model,
            self._prices,
            self._currency,
            self._ledger,
            self._prefixes,
            options_of(messages, mode, max_tokens, options),
            expected_length,
        )

    # -- inside -----------------------------------------------------------------------------------------------------

    @property
    def _currency(self) -> Currency:
        return "CNY" if {row.currency for row in self._prices.rows} == {"CNY"} else "USD"

    def _connected(self) -> Connection:
        if self._connection is None:
            raise ConfigurationError("the local engine is not running; use the client in `async with`")
        return self._connection

    def _check_loop(self) -> None:
        if self._closed:
            raise ConfigurationError("the client is closed; make a new one")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError("an AsyncClient works inside an event loop; elsewhere, use Client") from None
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise ConfigurationError(
                "this AsyncClient was first used in another event loop; make one for each loop, or use Client"
            )

    async def _answered(self, options: Options) -> Reply:
        from deepthrift._call import Call

        call = Call(self._ready(), options, stream=False)
        try:
            return await call.run()
        except DeepthriftError as error:
            await self._blame_engine(error)
            raise

    def _streamed(self, options: Options) -> AsyncStream:
        from deepthrift._call import Call

        call = Call(self._ready(), options, stream=True)
        source = Source(call, asyncio.get_running_loop(), self._blame_engine, self._sources.discard)
        self._sources.add(source)
        return AsyncStream(source)

    def _ready(self) -> Core:
        from deepthrift._core import Core

        self._check_loop()
        if self._core is None:
            connection = self._connected()
            self._core = Core(
                connection.endpoint(self._headers, self._transport, self._proxy),
                connection.profile,
                connection.model,
                self._prices,
                self._currency,
                self._ledger,
                self._settings,
                connection.key,
                self._prefixes,
            )
        return self._core

    async def _blame_engine(self, error: DeepthriftError) -> None:
        """Raise the engine's own death instead of the lost connection that it caused."""
        if self._engine is None or not isinstance(error, APIError | StreamInterrupted):
            return
        if isinstance(error, StreamInterrupted | ConnectionFailed):
            crash = await self._engine.crash()
            if crash is not None:
                crash.request, crash.attempt_ids, crash.spend = error.request, error.attempt_ids, error.spend
                raise crash from error


def _callables(middleware: Sequence[Middleware]) -> tuple[Middleware, ...]:
    if callable(middleware) or not all(map(callable, middleware)):
        raise ConfigurationError("middleware is a list of functions of a request and call_next")
    return tuple(middleware)
