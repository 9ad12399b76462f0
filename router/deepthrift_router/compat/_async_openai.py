"""openai's asynchronous client over the router. `_openai.py` is generated from this file; see `tools/mirror.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import httpx
import openai

from deepthrift import AsyncClient, HostProfile
from deepthrift_pricing import Budget, Ledger, PriceBook
from deepthrift_router._door.router import ModeRouter
from deepthrift_router.compat._settings import (
    NO_KEY,
    AsyncRouterHTTP,
    FacadeSettings,
    passed_on,
    refuse_http_client,
    status_error,
    with_retries,
)
from deepthrift_router.compat._transport import AsyncTransport


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
        facade = FacadeSettings(api_key, base_url, router, ledger, tuple(budgets), prices, host, default_model)
        if not isinstance(http_client, AsyncRouterHTTP):
            refuse_http_client(http_client)
            routes = facade.routes(router, lambda settings: AsyncClient(facade.url, **settings))
            http_client = AsyncRouterHTTP(AsyncTransport(routes, facade.handler))
        super().__init__(
            api_key=api_key or facade.key or NO_KEY,
            organization=organization,
            project=project,
            base_url=facade.same_url(http_client.routes.first.client.base_url),
            timeout=timeout,
            max_retries=max_retries,
            default_headers=default_headers,
            default_query=default_query,
            http_client=cast("Any", http_client),  # its type is that of openai's own copy of httpx
            **passed_on(others),
        )
        self.router = http_client.routes.first
        """The router of the endpoint's own model."""

    async def _prepare_options(self, options: Any) -> Any:
        return with_retries(await super()._prepare_options(options), self.max_retries)

    def _make_status_error(self, err_msg: str, *, body: object, response: Any) -> openai.APIStatusError:
        return status_error(super()._make_status_error(err_msg, body=body, response=response), response)

    @property
    def ledger(self) -> Ledger:
        """Where attempts are booked."""
        return self.router.client.ledger
