"""The keyword arguments of a client."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

from deepthrift._admission.breaker import CircuitBreaker
from deepthrift._call.endpoints.endpoint import Endpoint
from deepthrift._net.network import Cert, Verify
from deepthrift._types.engine_options import EngineOptions
from deepthrift._types.messages import JSONObject
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Ledger, PriceBook

if TYPE_CHECKING:
    import httpx

    from deepthrift.local import Engine
    from deepthrift.middleware import Middleware


class SharedSettings(TypedDict, total=False):
    """What a client of an endpoint and a client of the embedded engine both take."""

    prices: PriceBook | str | Path | None
    """A price book, the name of a packaged profile, or the path of a TOML file. Default: official prices."""
    ledger: Ledger | None
    """Where attempts are booked and budgets are held. Default: a ledger in memory, for this process only."""
    tags: Mapping[str, str] | None
    """Labels that every attempt carries in the ledger."""
    timeout: float
    """Seconds that one attempt may take. Default: 600."""
    idle_timeout: float
    """Seconds that a stream may be silent. Default: 120."""
    deadline: float | None
    """Seconds that a whole call may take, retries and waiting included. Default: no limit."""
    max_retries: int
    """Further attempts after a failure that another attempt may fix. Default: 2."""
    budget_wait: float | None
    """Seconds to wait for room in a budget. Default: as long as room can come free."""
    middleware: Sequence[Middleware]
    """Functions around every attempt, the first one outermost; see `deepthrift.middleware`."""
    max_response_bytes: int
    """The largest response that is read, in bytes after unpacking. Default: 64 MiB, and more for a stream whose
    `max_tokens` need it."""
    stop_beyond_max_tokens: bool
    """Whether a stream that runs far past its `max_tokens` is ended. Its reply then has the finish reason `length`
    and a warning, and what arrived is booked. Default: no."""


class ClientSettings(SharedSettings, total=False):
    """The keyword arguments of `AsyncClient` and `Client`."""

    endpoints: Sequence[Endpoint] | None
    """Several endpoints of the model instead of one, the preferred first; see `Endpoint`."""
    host: str | HostProfile | None
    """A host profile or its name (`HostProfile.names()`). Default: found from the URL."""
    model: str | None
    """The model's name. Default: the host's own."""
    api_key: str | None
    """Sent as a bearer token. Default: the host's environment variable, for the host's own addresses only."""
    region: str | None
    """Where the endpoint keeps the data, in a name of your choice, such as `"eu"`."""
    regions: Collection[str] | None
    """The only regions to which anything is sent. Default: all."""
    retry_unanswered: bool
    """Whether to try again when an answer was lost that may be billed. Default: no."""
    max_concurrency: int | None
    """The most attempts at a time; further ones wait in a FIFO queue. Default: no limit."""
    circuit_breaker: CircuitBreaker | None
    """When an endpoint that fails gets a pause; with `None` only an empty account does."""
    on_mode_mismatch: Literal["warn", "raise"]
    """Whether a mode that the host ignored is a warning on the reply (default) or an error."""
    headers: Mapping[str, str] | None
    """Further headers."""
    extra_body: JSONObject | None
    """Further fields of every request."""
    proxy: str | None
    """A proxy's URL, with user and password if it needs them. Default: the environment's."""
    verify: Verify
    """Whom to trust: `True` for the usual authorities, a file or folder, or an `ssl.SSLContext`."""
    cert: Cert | None
    """A client certificate: a PEM file with its key, or certificate, key and the key's password."""
    http2: bool
    """Whether HTTP/2 is offered; needs `deepthrift[http2]`. Default: no."""
    transport: httpx.AsyncBaseTransport | None
    """An httpx transport instead of the client's own."""


class LocalSettings(SharedSettings, EngineOptions, total=False):
    """The keyword arguments of `AsyncClient.local` and `Client.local`; `prices` defaults to `"brief"` there."""

    engine: Engine | None
    """An engine that you configured yourself, instead of `model` and the engine's options. It's left running if it
    was running before, so several clients can share it."""
    machine_hour: Decimal | str | None
    """What this machine costs per hour, in USD. The engine is measured when it starts, and calls are booked at what
    their tokens cost here; see `deepthrift.local.measure`."""
    utilisation: Decimal | str
    """With `machine_hour`, the share of the time in which the machine is busy. Default: 1."""
