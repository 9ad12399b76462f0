"""How far a batch is, and what it came to."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from deepthrift._types.errors import DeepthriftError
from deepthrift.batch._result import Outcome
from deepthrift_pricing import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """A batch under way; the counts include what earlier runs had done."""

    rows: int
    answered: int
    failed: int
    unanswered: int
    running: int
    spend: Money | None
    """What the rows cost so far, failed ones and earlier runs included; `None` before the first."""
    seconds: float
    """Since this run began."""
    seconds_left: float | None
    """At the pace of this run; `None` before its first row is through."""

    @property
    def done(self) -> int:
        """Rows that have a result."""
        return self.answered + self.failed + self.unanswered


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSummary:
    """What a run over a file came to. The counts are of the whole file, earlier runs included."""

    out: Path
    rows: int
    answered: int
    failed: int
    """Without an answer, and known to cost nothing; `retry_failed` tries them again."""
    unanswered: int
    """Without an answer, and perhaps billed; `retry_unanswered` tries them again."""
    unsent: int
    """Not begun: another run goes on with them."""
    spend: Money | None
    """What all of it cost, as far as the out file knows: what was lost with an interrupted run is in the ledger."""
    run_spend: Money | None
    """What this run cost."""
    run_rows: int
    """Rows that this run brought to a result."""
    seconds: float
    stopped: DeepthriftError | None
    """Why no further row was begun, such as `BudgetExceeded`; `None` when every row has a result."""

    @property
    def complete(self) -> bool:
        """Whether every row has a result."""
        return not self.unsent


OnProgress: TypeAlias = Callable[[BatchProgress], object]


class Tally:
    """Counts rows by what became of them."""

    def __init__(self, rows: int, on_progress: OnProgress | None) -> None:
        self.rows = rows
        self.counts: dict[Outcome, int] = {"answered": 0, "failed": 0, "unanswered": 0}
        self.spend: Money | None = None
        self.run_spend: Money | None = None
        self.run_rows = 0
        self.running = 0
        self._began = time.monotonic()
        self._on_progress = on_progress

    @property
    def seconds(self) -> float:
        """Since this run began."""
        return time.monotonic() - self._began

    def earlier(self, outcome: Outcome, cost: Money | None) -> None:
        """Count a line of an earlier run."""
        self.counts[outcome] += 1
        self.spend = _plus(self.spend, cost)

    def undo(self, outcome: Outcome) -> None:
        """Take a row of an earlier run out of the counts: it is tried again. What it cost stays."""
        self.counts[outcome] -= 1

    def add(self, outcome: Outcome, cost: Money | None) -> None:
        """Count a row of this run."""
        self.earlier(outcome, cost)
        self.run_spend = _plus(self.run_spend, cost)
        self.run_rows += 1

    def tell(self) -> None:
        """Call the observer."""
        if self._on_progress is not None:
            self._on_progress(self.progress())

    def progress(self) -> BatchProgress:
        """How far it is."""
        done = sum(self.counts.values())
        seconds = self.seconds
        left = (self.rows - done) * seconds / self.run_rows if self.run_rows else None
        return BatchProgress(
            rows=self.rows,
            answered=self.counts["answered"],
            failed=self.counts["failed"],
            unanswered=self.counts["unanswered"],
            running=self.running,
            spend=self.spend,
            seconds=seconds,
            seconds_left=left,
        )

    def summary(self, out: Path, stopped: DeepthriftError | None) -> BatchSummary:
        """What it came to."""
        return BatchSummary(
            out=out,
            rows=self.rows,
            answered=self.counts["answered"],
            failed=self.counts["failed"],
            unanswered=self.counts["unanswered"],
            unsent=self.rows - sum(self.counts.values()),
            spend=self.spend,
            run_spend=self.run_spend,
            run_rows=self.run_rows,
            seconds=self.seconds,
            stopped=stopped,
        )


def _plus(total: Money | None, more: Money | None) -> Money | None:
    if more is None:
        return total
    return more if total is None else total + more
