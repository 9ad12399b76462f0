"""Workers on other machines, as a batch sees them."""

from __future__ import annotations

import importlib
from contextlib import AbstractAsyncContextManager
from typing import Protocol, cast

from deepthrift._call.endpoints.targets import Targets
from deepthrift.batch._runner import RowSender
from deepthrift_pricing import Mode


class Workers(Protocol):
    """Machines that send the rows of a batch. `deepthrift.cluster.RayCluster` is one."""

    @property
    def routes(self) -> bool:
        """Whether each worker answers rows without a mode through something of its own, such as a router."""
        ...

    def start(self, targets: Targets, mode: Mode | None, concurrency: int) -> AbstractAsyncContextManager[RowSender]:
        """Starts the workers, each with a client like the one that has these targets."""
        ...


def workers_at(address: str) -> Workers:
    """The workers at an address. Ray is the only kind so far; its module is loaded by name, as a plug-in would be."""
    cluster = importlib.import_module("deepthrift.cluster")
    return cast("Workers", cluster.RayCluster(address))
