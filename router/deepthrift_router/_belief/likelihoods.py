"""How much each signal says, as measured on recorded outcomes; a signal without data says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from deepthrift_router._belief.belief import Cells

Table: TypeAlias = Mapping[str, Cells]
"""For each outcome of a signal, its probability in each of the four cases."""


class SignalData(BaseModel):
    """One signal's likelihoods, by what the answer is like, with their source."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    source: str
    """Which recorded outcomes they come from."""
    rows: int
    temper: tuple[float, float]
    """For how much of what it seems the signal is taken: on unfamiliar questions, and on familiar ones, whose prior
    knows part of it already. Chosen on task families that were not used to count."""
    tables: Mapping[str, Table]
    """By condition, such as the length of the answer; `any` is used where there is no table of its own."""
    unfamiliar: Mapping[str, Table] = Field(default_factory=dict[str, Table])
    """The same where the prior knows nothing of the question; empty: no different. Between the two it is mixed."""


class Likelihoods(BaseModel):
    """The measured likelihoods of every signal that has data."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    version: str
    signals: Mapping[str, SignalData]
    switch: tuple[Cells, Cells, Cells, Cells]
    """When a third sample sides with the second: from each case of the first answer, the shares of the second's."""

    @classmethod
    def builtin(cls) -> Likelihoods:
        """Those that come with the package."""
        return _builtin()

    def table(self, signal: str, condition: str = "any", familiarity: float = 1.0) -> Table | None:
        """The outcomes of `signal` on a question of this familiarity.

        `None` where there is no data: then it has no weight.
        """
        data = self.signals.get(signal)
        if data is None:
            return None
        familiar = data.tables.get(condition) or data.tables.get("any")
        other = data.unfamiliar.get(condition) or data.unfamiliar.get("any")
        if familiar is None or other is None or familiarity >= 1.0:
            return familiar
        return {
            outcome: _between(other.get(outcome, chances), chances, familiarity)
            for outcome, chances in familiar.items()
        }

    def temper(self, signal: str, familiarity: float) -> float:
        """For how much of what it seems `signal` is taken on a question of this familiarity, 0 to 1."""
        data = self.signals.get(signal)
        if data is None:
            return 0.0
        unfamiliar, familiar = data.temper
        return unfamiliar + (familiar - unfamiliar) * familiarity


def _between(low: Cells, high: Cells, share: float) -> Cells:
    rest = 1 - share
    return (
        low[0] ** rest * high[0] ** share,
        low[1] ** rest * high[1] ** share,
        low[2] ** rest * high[2] ** share,
        low[3] ** rest * high[3] ** share,
    )


@lru_cache(maxsize=1)
def _builtin() -> Likelihoods:
    return Likelihoods.model_validate_json((files("deepthrift_router") / "data" / "signals.json").read_bytes())
