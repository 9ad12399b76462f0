"""An endpoint as users describe it, and how it is doing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from deepthrift._admission.breaker import CircuitState
from deepthrift._net.network import Cert, Verify
from deepthrift._types.errors import ConfigurationError
from deepthrift._types.messages import JSONObject
from deepthrift._util.secrets import shown_url
from deepthrift.hosts import HostProfile
from deepthrift_pricing import PriceBook

if TYPE_CHECKING:
    import httpx


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
        own = {name: value for name in usual if (value := getattr(self, name)) != usual[name]}
        url = [] if self.base_url is None else [repr(shown_url(self.base_url))]
        return f"Endpoint({', '.join([*url, *(f'{name}={value!r}' for name, value in own.items())])})"

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
