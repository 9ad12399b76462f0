"""From a client to workers on the machines of a cluster: what travels to them, and what must not."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Final

from deepthrift._types.errors import ConfigurationError
from deepthrift._util.secrets import shown_url
from deepthrift.batch._chatter import Chatter
from deepthrift_pricing import Mode

if TYPE_CHECKING:
    from deepthrift._call.endpoints.targets import Targets
    from deepthrift._client.async_client import AsyncClient
    from deepthrift.cluster._ray import RayWorkers
    from deepthrift.cluster._remote_worker import WorkerSpec

LEDGER_VARIABLE: Final = "DEEPTHRIFT_LEDGER"


@dataclass(frozen=True, slots=True)
class RayCluster:
    """A Ray cluster that sends the rows of a batch, with a worker on each node that has a CPU for work.

    The files, and what is known of each row, stay with the process that began. Each worker makes a client of its own
    with the profile, prices, budgets, tags, time-outs and retries of the client whose `batch` was called, and books in
    the same ledger. Secrets do not travel: workers read them where they are.

    Attributes:
        address: `ray://host:port`; the `host:port` of a cluster that this machine is part of; or `ray`: the cluster
            that Ray finds from here, else one of this machine alone.
        key_variable: The environment variable that holds the key on every node; left out, the host's own one.
        ledger_variable: The environment variable that holds the ledger's URL, here and on every node, where the URL has
            a password. Elsewhere the nodes log in as their own environment says.
        through: Makes what answers rows without a mode on each node, in its client's place, such as `ModeRouter`.
        on_workers: Called with the nodes' names when their workers are ready.

    Raises:
        ConfigurationError: The address is none of these.
    """

    address: str = "ray"
    _: KW_ONLY
    key_variable: str | None = None
    ledger_variable: str = LEDGER_VARIABLE
    through: Callable[[AsyncClient], Chatter] | None = None
    on_workers: Callable[[tuple[str, ...]], object] | None = None

    def __post_init__(self) -> None:
        """Check what can be checked here."""
        if self.address != "ray" and not self.address.startswith("ray://") and ":" not in self.address:
            raise ConfigurationError(f"{self.address!r} is none of ray, ray://HOST:PORT and HOST:PORT")

    @property
    def routes(self) -> bool:
        """Whether each worker has something of its own, such as a router, that answers rows without a mode."""
        return self.through is not None

    @asynccontextmanager
    async def start(self, targets: Targets, mode: Mode | None, concurrency: int) -> AsyncGenerator[RayWorkers]:
        """Starts the workers.

        Raises:
            MissingExtra: Ray is not installed.
            ConfigurationError: The client has what cannot travel, or a worker lacks a secret.
            ClusterUnavailable: The cluster cannot be reached, or no worker started.
        """
        from deepthrift.cluster._ray import RayWorkers

        async with RayWorkers(self.address, worker_spec(self, targets, mode), concurrency=concurrency) as workers:
            if self.on_workers is not None:
                self.on_workers(workers.nodes)
            yield workers


def worker_spec(cluster: RayCluster, targets: Targets, mode: Mode | None) -> WorkerSpec:
    """How the workers make their clients: with the names of secrets, never with secrets.

    Raises:
        ConfigurationError: The client has something that is on this machine alone, or that must not travel.
    """
    from deepthrift.cluster._remote_worker import WorkerSpec

    first = targets.first
    here = ["endpoints"] if len(targets.all) > 1 else first.settings_of_this_process()
    if here:
        names = ", ".join(f"{name}=…" for name in here)
        raise ConfigurationError(
            f"{names} cannot travel to the nodes of a cluster; make the client without, or leave out on=…"
        )
    shared, to = first.shared, first
    if shown_url(to.url) != to.url:
        raise ConfigurationError(
            "the endpoint's URL has a query that may hold a secret, which must not travel; pass the key as api_key=…, "
            "and name its variable in RayCluster(…, key_variable='…')"
        )
    ledger = shared.ledger
    if not ledger.url.startswith(("postgresql://", "postgres://")):
        raise ConfigurationError(
            "a batch on a cluster needs a ledger that all machines share: Ledger.open('postgresql://user@host/database')"
        )
    return WorkerSpec(
        url=to.url,
        profile=to.profile,
        model=to.model,
        key_variable=_key_variable(cluster, to.key, to.profile.api_key_env),
        ledger=ledger.url,
        ledger_variable=_ledger_variable(cluster, ledger.url),
        prices=first.prices,
        budgets=ledger.budgets,
        settings=replace(shared.settings, middleware=()),
        breaker=shared.breaker,
        mode=mode,
        through=cluster.through,
    )


def _key_variable(cluster: RayCluster, key: str | None, usual: str | None) -> str | None:
    """The variable that holds the key, if there is one.

    Raises:
        ConfigurationError: There is one, and nobody knows where the nodes have it.
    """
    if cluster.key_variable is not None or key is None:
        return cluster.key_variable
    if usual is not None and os.environ.get(usual) == key:
        return usual
    raise ConfigurationError(
        "the key does not travel; name the environment variable that holds it on every node: "
        "RayCluster(…, key_variable='…')"
    )


def _ledger_variable(cluster: RayCluster, url: str) -> str | None:
    """The variable that holds the ledger's URL with its password, if it does here."""
    from deepthrift_pricing.shared.urls import safe_url

    whole = os.environ.get(cluster.ledger_variable)
    return cluster.ledger_variable if whole and whole != url and safe_url(whole) == url else None
