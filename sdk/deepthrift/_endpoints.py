"""The endpoints of one client: where calls may go, in order of preference, and how each is doing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deepthrift._breaker import CircuitBreaker, CircuitState
from deepthrift._messages import JSONObject
from deepthrift._network import Cert, Network, Verify
from deepthrift._secrets import shown_url
from deepthrift.errors import ConfigurationError, NoEndpointAllowed
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Currency, Ledger, PrefixTracker, PriceBook

if TYPE_CHECKING:
    import httpx

    from deepthrift._connect import Connection
    from deepthrift._core import Core, Settings


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of several endpoints of a client; what is left out is as the client has it.

    Attributes:
        base_url: Where it is, with its `/v1`; left out, the host's own address.
        host: A profile or the name of one; left out, it is told from the URL.
        model: The model's name there; left out, the host's own.
        api_key: Sent to this endpoint only. Left out, the host's environment variable, for the host's own addresses.
        prices: Its prices, as for the client.
        region: Where it keeps the data, in a name of yours, such as `"eu"`; `None` is nowhere in particular.
        max_concurrency: The most attempts at a time; further ones wait.
        headers: Further headers.
        extra_body: Further fields of every request.
        proxy: The proxy's URL.
        verify: As for the client.
        cert: As for the client.
        http2: As for the client.
        transport: An httpx transport in place of the client's own.

    Raises:
        ConfigurationError: `max_concurrency` or `region` is wrong.
    """

    base_url: str | None = field(default=None, repr=False)
    _: KW_ONLY
    host: str | HostProfile | None = None
    model: str | None = None
    api_key: str | None = field(default=None, repr=False)
    prices: PriceBook | str | Path | None = None
    region: str | None = None
    max_concurrency: int | None = None
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    extra_body: JSONObject | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)
    verify: Verify | None = None
    cert: Cert | None = field(default=None, repr=False)
    http2: bool | None = None
    transport: httpx.AsyncBaseTransport | None = None

    def __repr__(self) -> str:
        usual = {each.name: each.default for each in fields(self) if each.repr and each.name != "_"}
        told = {name: value for name in usual if (value := getattr(self, name)) != usual[name]}
        url = [] if self.base_url is None else [repr(shown_url(self.base_url))]
        return f"Endpoint({', '.join([*url, *(f'{name}={value!r}' for name, value in told.items())])})"

    def __post_init__(self) -> None:
        """Check what can be checked here."""
        most = self.max_concurrency
        if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"max_concurrency is a whole number of at least 1, not {most!r}")
        if self.region is not None and (not isinstance(self.region, str) or not self.region):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"region is a name such as 'eu', not {self.region!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStatus:
    """How an endpoint is doing at this moment.

    Attributes:
        host: The host profile's name.
        url: Where it is, with what its query may hide as `***`.
        model: The model's name there.
        region: Where it keeps the data.
        circuit: Whether calls go out.
        failures: Failed attempts in a row.
        pause_left: Seconds until a call goes out again; 0 when one would now.
        limit: Attempts allowed at a time, or `None` without a limit.
        in_flight: Attempts under way.
        waiting: Attempts that wait for a place.
    """

    host: str
    url: str
    model: str
    region: str | None
    circuit: CircuitState
    failures: int
    pause_left: float
    limit: int | None
    in_flight: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Shared:
    """What all endpoints of a client have in common."""

    settings: Settings
    ledger: Ledger
    prefixes: PrefixTracker
    breaker: CircuitBreaker | None
    headers: Mapping[str, str] = field(repr=False)
    network: Network


class Upstream:
    """One endpoint of a client with its prices, its gate, and, once it is used, its connections."""

    def __init__(self, given: Endpoint, connection: Connection, prices: PriceBook, shared: Shared) -> None:
        from deepthrift._gate import Gate

        self.connection = connection
        self.prices = prices
        self.region = given.region
        self.gate = Gate(shared.breaker, given.max_concurrency, connection.profile.name)
        self._given = given
        self.shared = shared
        self.built: Core | None = None

    @property
    def currency(self) -> Currency:
        """The currency that its attempts are booked in."""
        return "CNY" if {row.currency for row in self.prices.rows} == {"CNY"} else "USD"

    @property
    def extra_body(self) -> Mapping[str, object]:
        """Further fields of every request to it."""
        return {**self.shared.settings.extra_body, **(self._given.extra_body or {})}

    @property
    def core(self) -> Core:
        """What its calls share; connections are made when they are needed."""
        if self.built is None:
            from deepthrift._core import Core

            given, shared, to = self._given, self.shared, self.connection
            settings = shared.settings
            if given.extra_body:
                settings = replace(settings, extra_body=self.extra_body)
            headers = {**shared.headers, **(given.headers or {})}
            self.built = Core(
                to.endpoint(headers, given.transport, shared.network.with_(given), settings.max_response_bytes),
                to.profile,
                to.model,
                self.prices,
                self.currency,
                shared.ledger,
                settings,
                to.key,
                shared.prefixes,
                self.gate,
            )
        return self.built

    def stays_here(self) -> list[str]:
        """The settings of the client that are of use in this process alone, or may hold secrets."""
        network, given = self.shared.network, self._given
        usual = {
            "headers": not self.shared.headers and not given.headers,
            "max_concurrency": given.max_concurrency is None,
            "transport": given.transport is None,
            "middleware": not self.shared.settings.middleware,
            **{each.name: getattr(network, each.name) == each.default for each in fields(network)},
        }
        return [name for name, is_usual in usual.items() if not is_usual]

    @property
    def status(self) -> EndpointStatus:
        """How it is doing."""
        circuit, limiter = self.gate.circuit, self.gate.limiter
        return EndpointStatus(
            host=self.connection.profile.name,
            url=shown_url(self.connection.url),
            model=self.connection.model,
            region=self.region,
            circuit=circuit.state,
            failures=circuit.failures,
            pause_left=self.gate.pause_left,
            limit=limiter.limit,
            in_flight=limiter.in_flight,
            waiting=limiter.waiting,
        )

    async def aclose(self) -> None:
        """Close its connections."""
        self.gate.limiter.close()
        if self.built is not None:
            await self.built.endpoint.aclose()
        elif self._given.transport is not None:
            await self._given.transport.aclose()


class Upstreams:
    """The endpoints of one client, in order of preference.

    Raises:
        NoEndpointAllowed: None of them is in `regions`.
        ConfigurationError: Their prices are in two currencies.
    """

    def __init__(self, all_: Sequence[Upstream], regions: Collection[str] | None) -> None:
        self.all = tuple(all_)
        self._regions = None if regions is None else frozenset(named_regions(regions))
        self._allowed = self._within(self.all, self._regions)
        if len({upstream.currency for upstream in self.all}) > 1:
            raise ConfigurationError(
                "the endpoints' prices are in two currencies; give each a price book in the same one"
            )

    @property
    def first(self) -> Upstream:
        """The preferred one."""
        return self._allowed[0]

    def allowed(self, regions: Collection[str] | None) -> Sequence[Upstream]:
        """Those in the client's regions and, if a call names some, in the call's as well.

        Raises:
            NoEndpointAllowed: There is none.
        """
        return self._allowed if regions is None else self._within(self._allowed, frozenset(named_regions(regions)))

    @staticmethod
    def _within(found: Sequence[Upstream], regions: frozenset[str] | None) -> Sequence[Upstream]:
        if regions is None:
            return found
        allowed = tuple(upstream for upstream in found if upstream.region in regions)
        if not allowed:
            have = ", ".join(sorted({repr(upstream.region) for upstream in found}))
            want = ", ".join(map(repr, sorted(regions))) or "none"
            raise NoEndpointAllowed(
                f"nothing was sent: the data must stay in {want}, and the endpoints are in {have}; add an "
                "Endpoint(…, region=…) there"
            )
        return allowed

    async def aclose(self) -> None:
        """Close all connections, whatever one of them says."""
        failure: BaseException | None = None
        for upstream in self.all:
            try:
                await upstream.aclose()
            except BaseException as error:
                failure = failure or error
        if failure is not None:
            raise failure


def named_regions(regions: Collection[str]) -> Collection[str]:
    """`regions`, checked.

    Raises:
        ConfigurationError: It is one text, or holds something else than names.
    """
    if isinstance(regions, str) or not all(isinstance(region, str) for region in regions):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"regions is a set of names such as {{'eu'}}, not {regions!r}")
    return regions


def upstreams_of(
    own: Endpoint,
    several: Sequence[Endpoint] | None,
    prices: PriceBook | str | Path | None,
    regions: Collection[str] | None,
    shared: Shared,
) -> Upstreams:
    """The endpoints that the user meant: the one that the client's own arguments describe, or several.

    Raises:
        ConfigurationError: One of them is wrong, or both kinds were given.
    """
    from deepthrift._connect import connect, price_book

    if several is not None:
        given = [each.name for each in fields(own) if each.name != "_" and getattr(own, each.name) is not None]
        if given:
            raise ConfigurationError(f"with endpoints=[…], {given[0]} goes into each Endpoint(…)")
        if not several or not all(isinstance(each, Endpoint) for each in several):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("endpoints is a list of at least one deepthrift.Endpoint(…)")
    book = price_book(prices)
    return Upstreams(
        [
            Upstream(
                each,
                connect(each.base_url, host=each.host, model=each.model, api_key=each.api_key),
                book if each.prices is None else price_book(each.prices),
                shared,
            )
            for each in several or [own]
        ],
        regions,
    )
