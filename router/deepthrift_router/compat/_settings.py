"""What both of openai's clients over the router share: their settings, retries and errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
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
from deepthrift_router.compat._transport import RETRIES, AsyncTransport, RequestHandler, Transport

if TYPE_CHECKING:
    from deepthrift import ClientSettings

C = TypeVar("C", bound=AsyncClient | Client)
NO_KEY: Final = "none"
_PASSED_ON: Final = frozenset({"webhook_secret", "admin_api_key", "websocket_base_url"})
"""What openai's client hands to its own copies, and what has no effect here."""


class AsyncRouterHTTP(httpx.AsyncClient):
    """By its class a copy of the client knows that the routers are there already."""

    def __init__(self, transport: AsyncTransport) -> None:
        super().__init__(transport=transport, trust_env=False)
        self.routes = transport.routes


class RouterHTTP(httpx.Client):
    """The same for code without `await`."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport=transport, trust_env=False)
        self.routes = transport.routes


@dataclass(frozen=True, slots=True)
class FacadeSettings:
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
        """The endpoint's URL, if anything names it."""
        return os.environ.get("OPENAI_BASE_URL") if self.base_url is None else str(self.base_url).rstrip("/")

    @property
    def key(self) -> str | None:
        """The endpoint's key; `OPENAI_API_KEY` only for a URL that was named."""
        if self.api_key is None and self.url is not None and self.router is None:
            return os.environ.get("OPENAI_API_KEY")
        return self.api_key if isinstance(self.api_key, str) else None

    @property
    def handler(self) -> RequestHandler:
        """What answers requests."""
        return RequestHandler(self.key or NO_KEY, forwards_key=self.router is None)

    def routes(self, router: ModeRouter[C] | None, make: Callable[[ClientSettings], C]) -> Routes[C]:
        """The user's router, or those of clients that `make` makes, all on one ledger.

        Raises:
            ConfigurationError: An argument contradicts another one.
        """
        if router is not None:
            others = (self.ledger, self.budgets or None, self.prices, self.host, self.model)
            if any(each is not None for each in others):
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


def refuse_http_client(http_client: object) -> None:
    """Nothing, if the user passed no HTTP client.

    Raises:
        ConfigurationError: They did.
    """
    if http_client is not None:
        raise ConfigurationError(
            "the router's own client speaks HTTP: give proxies and certificates to it, "
            "as in router=ModeRouter(AsyncClient(…, proxy=…))"
        )


def passed_on(others: Mapping[str, object]) -> dict[str, Any]:
    """The further arguments that openai's client hands to its own copies.

    Raises:
        ConfigurationError: One is no argument of this facade.
    """
    for name, value in others.items():
        if value is not None and name not in _PASSED_ON and not name.startswith("_"):
            raise ConfigurationError(f"{name} is not an argument of this facade of openai's client")
    return {name: value for name, value in others.items() if value is not None}


def with_retries(options: Any, default: int) -> Any:
    """`options` with the retries that are wanted in a header: they are made by the router's client."""
    raw: object = options.headers
    headers: Mapping[str, object] = cast("Mapping[str, object]", raw) if isinstance(raw, Mapping) else {}
    options.headers = {**headers, RETRIES: str(options.get_max_retries(default))}
    return options


def status_error(usual: openai.APIStatusError, response: Any) -> openai.APIStatusError:
    """The exception of openai's that stands for the router's own error, if `response` carries one."""
    error = standing_for(response)
    if error is None:
        return usual
    # openai raises whatever comes from here, so that a full budget can be told apart from an endpoint's refusal.
    return cast("openai.APIStatusError", as_openai(error, response.request, usual))
