"""openai's clients with the router in the place of the network."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import httpx
import openai

from deepthrift import AsyncClient, Client, HostProfile
from deepthrift.errors import ConfigurationError
from deepthrift.shared.urls import shown_url
from deepthrift_pricing import Budget, Ledger, PriceBook
from deepthrift_router._door.router import ModeRouter
from deepthrift_router.compat._failures import as_openai, standing_for
from deepthrift_router.compat._own_ledger import open_own_ledger
from deepthrift_router.compat._routes import Routes
from deepthrift_router.compat._transport import RETRIES, AsyncTransport, Door, Transport

if TYPE_CHECKING:
    from deepthrift import ClientSettings

C = TypeVar("C", bound=AsyncClient | Client)
_NO_KEY: Final = "none"
_PASSED_ON: Final = frozenset({"webhook_secret", "admin_api_key", "websocket_base_url"})
"""What openai's client hands to its own copies, and what has no effect here."""


class AsyncOpenAI(openai.AsyncOpenAI):
    """openai's asynchronous client, whose chats are routed, priced and held to budgets.

    Everything is openai's own: arguments, types, streams, helpers and exceptions. `chat.completions` and `models` are
    answered; the rest of its surface ends in `NotFoundError`. Beside the answer, `routing_of(completion)` tells how it
    came about and what it cost.

    `model="auto"` or `"deepseek-v3.1"` asks the endpoint's own model in whichever mode pays, `"deepseek-chat"` in
    standard and `"deepseek-reasoner"` in thinking mode, and so do `reasoning_effort` (`"none"` is standard), and
    `thinking` or `chat_template_kwargs` in `extra_body`. Any other name is another model of the endpoint, routed too.
    `extra_body={"deepthrift": {…}}` takes `policy`, `max_cost`, `tags` and the other options of a routed call. `user`
    and `metadata` become tags in the ledger and are not sent.

    What openai has no exception for is raised as it is: `BudgetExceeded`, `PriceNotFound`, `LedgerError`.

    Args:
        api_key: As for openai. Left out, the host's environment variable for the host's own address.
        organization: As for openai; without effect.
        project: As for openai; without effect.
        base_url: As for openai. Left out, `OPENAI_BASE_URL`, else the host's own address.
        timeout: As for openai: seconds that one attempt may take.
        max_retries: As for openai: further attempts. They are the client's own; every one is booked.
        default_headers: As for openai; sent to the endpoint.
        default_query: As for openai; without effect.
        http_client: For openai's own copies only; proxies and certificates are settings of `router`'s client.
        router: A router of yours; its client, ledger and settings hold, in place of the arguments below.
        ledger: Where attempts are booked: a ledger, or what `Ledger.open` takes. Without it, budgets are kept in the
            ledger that `DEEPTHRIFT_LEDGER` names, else in a file of this application, which all its processes share
            and a restart finds again; `"memory:"` keeps them in this process. Without budgets, it's in memory.
        budgets: Limits of a ledger that is opened here.
        prices: As for `deepthrift.AsyncClient`.
        host: As for `deepthrift.AsyncClient`.
        default_model: The endpoint's own model, as `model` of `deepthrift.AsyncClient`.
        **others: Further arguments of openai's client that have no meaning here.

    Raises:
        ConfigurationError: A setting is wrong.
        MissingExtra: openai is not installed.
    """

    def __init__(
        self,
        *,
        api_key: str | Callable[[], Awaitable[str]] | None = None,
        organization: str | None = None,
        project: str | None = None,
        base_url: str | httpx.URL | None = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
        max_retries: int = openai.DEFAULT_MAX_RETRIES,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        http_client: object = None,
        router: ModeRouter[AsyncClient] | None = None,
        ledger: Ledger | str | Path | None = None,
        budgets: Iterable[Budget] = (),
        prices: PriceBook | str | Path | None = None,
        host: str | HostProfile | None = None,
        default_model: str | None = None,
        **others: object,
    ) -> None:
        given = _Given(api_key, base_url, router, ledger, tuple(budgets), prices, host, default_model)
        if not isinstance(http_client, _AsyncHTTP):
            _refuse_http_client(http_client)
            routes = given.routes(router, lambda settings: AsyncClient(given.url, **settings))
            http_client = _AsyncHTTP(AsyncTransport(routes, given.door))
        super().__init__(
            api_key=api_key or given.key or _NO_KEY,
            organization=organization,
            project=project,
            base_url=given.same_url(http_client.routes.first.client.base_url),
            timeout=timeout,
            max_retries=max_retries,
            default_headers=default_headers,
            default_query=default_query,
            http_client=cast("Any", http_client),  # its type is that of openai's own copy of httpx
            **_others(others),
        )
        self.router = http_client.routes.first
        """The router of the endpoint's own model."""

    async def _prepare_options(self, options: Any) -> Any:
        return _told_retries(await super()._prepare_options(options), self.max_retries)

    def _make_status_error(self, err_msg: str, *, body: object, response: Any) -> openai.APIStatusError:
        return _raised(super()._make_status_error(err_msg, body=body, response=response), response)

    @property
    def ledger(self) -> Ledger:
        """Where attempts are booked."""
        return self.router.client.ledger


class OpenAI(openai.OpenAI):
    """The same for code without `await`; see `AsyncOpenAI`.

    Args:
        api_key: As for `AsyncOpenAI`.
        organization: As for `AsyncOpenAI`.
        project: As for `AsyncOpenAI`.
        base_url: As for `AsyncOpenAI`.
        timeout: As for `AsyncOpenAI`.
        max_retries: As for `AsyncOpenAI`.
        default_headers: As for `AsyncOpenAI`.
        default_query: As for `AsyncOpenAI`.
        http_client: As for `AsyncOpenAI`.
        router: As for `AsyncOpenAI`, on a `Client`.
        ledger: As for `AsyncOpenAI`.
        budgets: As for `AsyncOpenAI`.
        prices: As for `AsyncOpenAI`.
        host: As for `AsyncOpenAI`.
        default_model: As for `AsyncOpenAI`.
        **others: As for `AsyncOpenAI`.

    Raises:
        ConfigurationError: A setting is wrong.
        MissingExtra: openai is not installed.
    """

    def __init__(
        self,
        *,
        api_key: str | Callable[[], str] | None = None,
        organization: str | None = None,
        project: str | None = None,
        base_url: str | httpx.URL | None = None,
        timeout: float | openai.Timeout | openai.NotGiven | None = openai.NOT_GIVEN,
        max_retries: int = openai.DEFAULT_MAX_RETRIES,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        http_client: object = None,
        router: ModeRouter[Client] | None = None,
        ledger: Ledger | str | Path | None = None,
        budgets: Iterable[Budget] = (),
        prices: PriceBook | str | Path | None = None,
        host: str | HostProfile | None = None,
        default_model: str | None = None,
        **others: object,
    ) -> None:
        given = _Given(api_key, base_url, router, ledger, tuple(budgets), prices, host, default_model)
        if not isinstance(http_client, _HTTP):
            _refuse_http_client(http_client)
            routes = given.routes(router, lambda settings: Client(given.url, **settings))
            http_client = _HTTP(Transport(routes, given.door))
        super().__init__(
            api_key=api_key or given.key or _NO_KEY,
            organization=organization,
            project=project,
            base_url=given.same_url(http_client.routes.first.client.base_url),
            timeout=timeout,
            max_retries=max_retries,
            default_headers=default_headers,
            default_query=default_query,
            http_client=cast("Any", http_client),
            **_others(others),
        )
        self.router = http_client.routes.first
        """The router of the endpoint's own model."""

    def _prepare_options(self, options: Any) -> Any:
        return _told_retries(super()._prepare_options(options), self.max_retries)

    def _make_status_error(self, err_msg: str, *, body: object, response: Any) -> openai.APIStatusError:
        return _raised(super()._make_status_error(err_msg, body=body, response=response), response)

    @property
    def ledger(self) -> Ledger:
        """Where attempts are booked."""
        return self.router.client.ledger


class _AsyncHTTP(httpx.AsyncClient):
    """By its class a copy of the client knows that the routers are there already."""

    def __init__(self, transport: AsyncTransport) -> None:
        super().__init__(transport=transport, trust_env=False)
        self.routes = transport.routes


class _HTTP(httpx.Client):
    def __init__(self, transport: Transport) -> None:
        super().__init__(transport=transport, trust_env=False)
        self.routes = transport.routes


@dataclass(frozen=True, slots=True)
class _Given:
    """The arguments of a facade that its own clients are made of."""

    api_key: object
    base_url: str | httpx.URL | None
    router: object
    ledger: Ledger | str | Path | None
    budgets: tuple[Budget, ...]
    prices: PriceBook | str | Path | None
    host: str | HostProfile | None
    model: str | None

    @property
    def url(self) -> str | None:
        return os.environ.get("OPENAI_BASE_URL") if self.base_url is None else str(self.base_url).rstrip("/")

    @property
    def key(self) -> str | None:
        if self.api_key is None and self.url is not None and self.router is None:
            return os.environ.get("OPENAI_API_KEY")
        return self.api_key if isinstance(self.api_key, str) else None

    @property
    def door(self) -> Door:
        return Door(self.key or _NO_KEY, forwards_key=self.router is None)

    def routes(self, router: ModeRouter[C] | None, make: Callable[[ClientSettings], C]) -> Routes[C]:
        """The user's router, or those of clients that `make` makes, all on one ledger.

        Raises:
            ConfigurationError: An argument contradicts another one.
        """
        if router is not None:
            beside = (self.ledger, self.budgets or None, self.prices, self.host, self.model)
            if any(each is not None for each in beside):
                raise ConfigurationError(
                    "ledger, budgets, prices, host and default_model belong to the router's client"
                )
            return Routes(router, lambda _: router.client, None)
        if isinstance(self.ledger, Ledger) and self.budgets:
            raise ConfigurationError("budgets belong to the ledger: Ledger.open(…, budgets=[…])")
        opened = None
        if isinstance(self.ledger, Ledger):
            ledger = self.ledger
        elif self.ledger is None and self.budgets:
            ledger = opened = open_own_ledger(self.budgets)
        else:
            ledger = opened = Ledger.open("memory:" if self.ledger is None else self.ledger, budgets=self.budgets)

        def make_for(model: str | None) -> C:
            wanted = {"host": self.host, "model": model or self.model, "api_key": self.key, "prices": self.prices}
            settings = {name: value for name, value in wanted.items() if value is not None}
            return make(cast("ClientSettings", {**settings, "ledger": ledger}))

        try:
            return Routes(None, make_for, opened)
        except BaseException:
            if opened is not None:
                opened.close()
            raise

    def same_url(self, url: str) -> str:
        """`url`, if nothing else was asked for.

        Raises:
            ConfigurationError: Something else was.
        """
        own = None if self.base_url is None else shown_url(str(self.base_url))
        if own is not None and self.router is None and own.rstrip("/") != url.rstrip("/"):
            raise ConfigurationError(
                "base_url belongs to the router's client; make another facade for another endpoint"
            )
        return url.partition("?")[0]  # openai puts paths behind a query; the router's client has it


def _refuse_http_client(http_client: object) -> None:
    if http_client is not None:
        raise ConfigurationError(
            "the router's own client speaks HTTP: give proxies and certificates to it, "
            "as in router=ModeRouter(AsyncClient(…, proxy=…))"
        )


def _others(others: Mapping[str, object]) -> dict[str, Any]:
    for name, value in others.items():
        if value is not None and name not in _PASSED_ON and not name.startswith("_"):
            raise ConfigurationError(f"{name} is not an argument of this facade of openai's client")
    return {name: value for name, value in others.items() if value is not None}


def _told_retries(options: Any, default: int) -> Any:
    """`options` with the retries that are wanted in a header: they are made by the router's client."""
    given: object = options.headers
    headers: Mapping[str, object] = cast("Mapping[str, object]", given) if isinstance(given, Mapping) else {}
    options.headers = {**headers, RETRIES: str(options.get_max_retries(default))}
    return options


def _raised(usual: openai.APIStatusError, response: Any) -> openai.APIStatusError:
    error = standing_for(response)
    if error is None:
        return usual
    # openai raises whatever comes from here, so that a full budget can be told apart from an endpoint's refusal.
    return cast("openai.APIStatusError", as_openai(error, response.request, usual))
