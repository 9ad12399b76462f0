"""Where calls go: one endpoint with its profile, model, prices and limits, and the connections to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING

from deepthrift._admission.admission import Admission
from deepthrift._admission.clock import Clock
from deepthrift._call.endpoints.endpoint import Endpoint, EndpointStatus
from deepthrift._call.endpoints.settings import Settings
from deepthrift._net.network import Network
from deepthrift._types.options import Options
from deepthrift._util.secrets import shown_url, url_secrets
from deepthrift._util.version import version
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Currency, Ledger, PrefixTracker, PriceBook

# The HTTP stack is loaded with the first call: the command line and the tests of types do without it.
if TYPE_CHECKING:
    from deepthrift._admission.breaker import CircuitBreaker
    from deepthrift._net.sender import Sender


@dataclass(frozen=True, slots=True)
class Shared:
    """What all endpoints of a client have in common."""

    settings: Settings
    ledger: Ledger
    prefixes: PrefixTracker
    breaker: CircuitBreaker | None
    headers: Mapping[str, str] = field(repr=False)
    network: Network


class Target:
    """One endpoint of a client. Connections are made when they are needed."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        url: str,
        profile: HostProfile,
        model: str,
        key: str | None,
        prices: PriceBook,
        shared: Shared,
    ) -> None:
        self._endpoint = endpoint
        self.url = url
        self.profile = profile
        self.model = model
        self.key = key
        self.prices = prices
        self.region = endpoint.region
        self.currency: Currency = "CNY" if {row.currency for row in prices.rows} == {"CNY"} else "USD"
        self.shared = shared
        self.settings = shared.settings
        if endpoint.extra_body:
            self.settings = replace(shared.settings, extra_body={**shared.settings.extra_body, **endpoint.extra_body})
        self.admission = Admission(shared.breaker, endpoint.max_concurrency, profile.name)
        self._twin: Target | None = None

    def for_model(self, model: str) -> Target:
        """The same endpoint, its connections and its limits, for calls of another model."""
        found = copy(self)
        found.__dict__.pop("sender", None)
        found.model, found._twin = model, self
        return found

    def __repr__(self) -> str:
        return f"<Target {self.profile.name} {self.model} at {shown_url(self.url)}>"

    @property
    def ledger(self) -> Ledger:
        """Where its attempts are booked."""
        return self.shared.ledger

    @property
    def prefixes(self) -> PrefixTracker:
        """Hashes of the prompts that were sent lately."""
        return self.shared.prefixes

    @cached_property
    def secrets(self) -> tuple[str | None, ...]:
        """What must not be shown of what the endpoint says: the key, and what the URL's query may hide."""
        return (self.key, *url_secrets(self.url))

    @cached_property
    def sender(self) -> Sender:
        """What sends its requests."""
        if self._twin is not None:
            return self._twin.sender
        import httpx

        from deepthrift._net.choose import transport_for
        from deepthrift._net.sender import Sender

        headers = {
            "accept": "application/json, text/event-stream",
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": f"deepthrift/{version()}",
        }
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        own = {**self.shared.headers, **(self._endpoint.headers or {})}
        transport = self._endpoint.transport
        if transport is None:
            transport = transport_for(httpx.URL(self.url), _network_of(self.shared.network, self._endpoint))
        headers |= {name.lower(): value for name, value in own.items()}
        return Sender(self.url, transport, headers, self.settings.max_response_bytes)

    def budget_wait(self, clock: Clock) -> float | None:
        """Seconds that an attempt may wait for room in a budget; `None` is as long as room can come free."""
        wait = self.settings.budget_wait
        limit = min(clock.left, math.inf if wait is None else wait)
        return None if limit == math.inf else max(0.0, limit)

    def clock(self, options: Options) -> Clock:
        """The clock of a call that begins now."""
        settings = self.settings
        return Clock(
            timeout=settings.timeout if options.timeout is None else options.timeout,
            idle_timeout=settings.idle_timeout if options.idle_timeout is None else options.idle_timeout,
            deadline=settings.deadline if options.deadline is None else options.deadline,
        )

    def settings_of_this_process(self) -> list[str]:
        """The client's settings that are of use in this process alone, or that may hold secrets."""
        network, endpoint = self.shared.network, self._endpoint
        usual = {
            "headers": not self.shared.headers and not endpoint.headers,
            "max_concurrency": endpoint.max_concurrency is None,
            "transport": endpoint.transport is None,
            "middleware": not self.shared.settings.middleware,
            **{each.name: getattr(network, each.name) == each.default for each in fields(network)},
        }
        return [name for name, is_usual in usual.items() if not is_usual]

    @property
    def status(self) -> EndpointStatus:
        """How it is doing."""
        circuit, limiter = self.admission.circuit, self.admission.limiter
        return EndpointStatus(
            host=self.profile.name,
            url=shown_url(self.url),
            model=self.model,
            region=self.region,
            circuit=circuit.state,
            failures=circuit.failures,
            pause_left=self.admission.pause_left,
            limit=limiter.limit,
            in_flight=limiter.in_flight,
            waiting=limiter.waiting,
        )

    async def aclose(self) -> None:
        """Close its connections."""
        self.admission.limiter.close()
        if "sender" in self.__dict__:
            await self.sender.aclose()
        elif self._endpoint.transport is not None:
            await self._endpoint.transport.aclose()


def _network_of(network: Network, given: Endpoint) -> Network:
    """The client's network settings with what an endpoint has of its own."""
    return Network(
        proxy=network.proxy if given.proxy is None else given.proxy,
        verify=network.verify if given.verify is None else given.verify,
        cert=network.cert if given.cert is None else given.cert,
        http2=network.http2 if given.http2 is None else given.http2,
    )
