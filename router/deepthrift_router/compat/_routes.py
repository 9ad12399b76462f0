"""The routers behind one facade: the user's, or one for each model that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from deepthrift import AsyncClient, Client
from deepthrift.errors import NotFound
from deepthrift_pricing import Ledger
from deepthrift_router._door.router import ModeRouter
from deepthrift_router.compat._requests import ALIASES

C = TypeVar("C", bound=AsyncClient | Client)

_MOST: Final = 16
"""Models that one facade opens clients for."""


class Routes(Generic[C]):
    """Finds the router of a model."""

    def __init__(
        self,
        router: ModeRouter[C] | None,
        open_client: Callable[[str | None], C],
        ledger: Ledger | None,
    ) -> None:
        self.given = router
        self._open = open_client
        self._ledger = ledger
        """Opened for this facade, and closed with it."""
        self._routers: dict[str, ModeRouter[C]] = {}
        # The endpoint's own model: what is wrong with the settings is told at once.
        self.first = ModeRouter(open_client(None)) if router is None else router

    def of(self, model: str) -> ModeRouter[C]:
        """The router of a model.

        Raises:
            NotFound: There is no such model here.
        """
        if model in ALIASES or model == self.first.client.model:
            return self.first
        if self.given is not None or len(self._routers) >= _MOST:
            raise NotFound(
                f"there is no model {model!r} here; use 'auto' or {self.first.client.model!r}", status=404, body=""
            )
        if model not in self._routers:
            self._routers[model] = ModeRouter(self._open(model))
        return self._routers[model]

    @property
    def own(self) -> tuple[ModeRouter[C], ...]:
        """Those that are closed with the facade."""
        return () if self.given is not None else (self.first, *self._routers.values())

    def close_ledger(self) -> None:
        """Close the ledger, if it was opened here."""
        if self._ledger is not None:
            self._ledger.close()
