"""What a batch will cost, before anything is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, get_args

from pydantic import BaseModel, ConfigDict

from deepthrift._types.errors import ContextLengthExceeded
from deepthrift.batch._row import BatchRow, row_mode
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Currency, Estimate, Mode, Money

EstimateRow = Callable[[BatchRow, Mode], Estimate]

_AT_A_TIME: Final = 50
_MOST_REFUSED: Final = 20


class ModeEstimate(BaseModel):
    """What the rows of one mode will cost, all of them together."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    mode: Mode
    rows: int
    prompt_tokens: int
    exact: bool
    """Whether the prompt tokens were counted with the model's own tokenizer; otherwise they are an upper bound."""
    max_tokens: int
    """The most that may be generated."""
    least: Money
    likely: Money | None
    """`None` while the ledger knows too few answers of this mode, unless a length was given."""
    likely_completion_tokens: int | None
    worst: Money


class BatchEstimate(BaseModel):
    """What a batch will cost between its bounds, by mode."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    rows: int
    modes: tuple[ModeEstimate, ...]
    routed: int
    """Rows whose mode a router chooses: they are counted in both modes, as if all were answered by that mode alone."""
    too_long: tuple[tuple[int, str], ...]
    """Line and reason of the first rows that do not fit the context; each will be an error of its own."""
    too_long_rows: int

    @property
    def worst(self) -> Money | None:
        """The most that all rows can cost; `None` when a router chooses, for it may ask more than once."""
        if self.routed or not self.modes:
            return None
        return Money.sum((mode.worst for mode in self.modes), self.modes[0].worst.currency)

    @property
    def likely(self) -> Money | None:
        """What all rows will probably cost; `None` when that is not known for a mode, or a router chooses."""
        known = [mode.likely for mode in self.modes if mode.likely is not None]
        if self.routed or not known or len(known) < len(self.modes):
            return None
        return Money.sum(known, known[0].currency)


class _CostSum:
    def __init__(self, currency: Currency) -> None:
        self.rows = self.prompt = self.most = self.length = 0
        self.exact = self.known = True
        self.least = self.likely = self.worst = Money(0, currency)

    def add(self, estimate: Estimate) -> None:
        self.rows += 1
        self.prompt += estimate.prompt_tokens
        self.most += estimate.max_tokens
        self.exact = self.exact and estimate.prompt_certainty == "exact"
        self.least += estimate.least
        self.worst += estimate.worst
        if estimate.likely is None or estimate.likely_completion_tokens is None:
            self.known = False
        else:
            self.likely += estimate.likely
            self.length += estimate.likely_completion_tokens


async def estimate_rows(
    rows: Iterable[BatchRow],
    estimate: EstimateRow,
    profile: HostProfile,
    currency: Currency,
    *,
    mode: Mode | None,
    routed: bool,
) -> BatchEstimate:
    """The estimate of `rows`, each of which was checked."""
    sums = {each: _CostSum(currency) for each in get_args(Mode)}
    count = chosen = refused = 0
    too_long: list[tuple[int, str]] = []
    for count, row in enumerate(rows, 1):
        if count % _AT_A_TIME == 0:
            await asyncio.sleep(0)
        own = row_mode(row, mode, profile)
        modes: list[Mode] = [own or "standard"] if own is not None or not routed else list(sums)
        chosen += len(modes) > 1
        try:
            for each in modes:
                sums[each].add(estimate(row, each))
        except ContextLengthExceeded as error:
            refused += 1
            if refused <= _MOST_REFUSED:
                too_long.append((row.line, error.message))
    return BatchEstimate(
        rows=count,
        modes=tuple(_of(each, total) for each, total in sums.items() if total.rows),
        routed=chosen,
        too_long=tuple(too_long),
        too_long_rows=refused,
    )


def _of(mode: Mode, total: _CostSum) -> ModeEstimate:
    return ModeEstimate(
        mode=mode,
        rows=total.rows,
        prompt_tokens=total.prompt,
        exact=total.exact,
        max_tokens=total.most,
        least=total.least,
        likely=total.likely if total.known else None,
        likely_completion_tokens=total.length if total.known else None,
        worst=total.worst,
    )
