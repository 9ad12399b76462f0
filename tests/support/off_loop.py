"""Watches that no ledger's store is used in a thread that runs an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import traceback
from collections.abc import Callable, Generator
from typing import Any

import pytest

from deepthrift_pricing._store import postgres, sqlite

_METHODS = {"_Transaction": ("__enter__", "__exit__", "all", "one", "run"), "Link": ("acquire", "connection", "close")}


class Watched:
    """The uses of stores: how many there were, and where those are from that an event loop had to wait for."""

    def __init__(self) -> None:
        self.uses = 0
        self.on_loops: list[str] = []

    def note(self) -> None:
        self.uses += 1
        if asyncio._get_running_loop() is not None:
            self.on_loops.append("".join(traceback.format_stack(limit=14)))


@contextlib.contextmanager
def watching() -> Generator[Watched]:
    """Watches every store."""
    watched = Watched()

    def noting(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def noted(*args: Any, **kwargs: Any) -> Any:
            watched.note()
            return method(*args, **kwargs)

        return noted

    with pytest.MonkeyPatch.context() as patch:
        for module, prefix in ((sqlite, "Sqlite"), (postgres, "Postgres")):
            for name, methods in _METHODS.items():
                owner = getattr(module, name if name.startswith("_") else prefix + name)
                for method in methods:
                    patch.setattr(owner, method, noting(getattr(owner, method)))
            patch.setattr(module, f"{prefix}Store", noting(getattr(module, f"{prefix}Store")))
        yield watched


class Ticker:
    """Counts the turns of the event loop while something goes on."""

    def __init__(self) -> None:
        self.turns = 0

    async def run(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0)
