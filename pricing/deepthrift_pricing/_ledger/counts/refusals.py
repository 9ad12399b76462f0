"""What a ledger refuses: what does not fit a budget, and what no ledger can hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from deepthrift_pricing._ledger.counts.counters import Refusal
from deepthrift_pricing._ledger.counts.refusal_counts import DAY
from deepthrift_pricing._store.protocol import Transaction
from deepthrift_pricing._values.attempt import AttemptRequest
from deepthrift_pricing._values.budget import MOST_PICO, BudgetStatus
from deepthrift_pricing._values.cost import Cost
from deepthrift_pricing._values.errors import BudgetExceeded, ConfigurationError
from deepthrift_pricing._values.usage import Usage

_COUNT: Final = (
    "INSERT INTO refusals (budget, limit_pico, part, start, host, model, mode, name, refused, needed_pico, first_at, "
    "last_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?) "
    "ON CONFLICT (budget, limit_pico, part, start, host, model, mode) DO UPDATE SET "
    "refused = refusals.refused + 1, name = excluded.name, needed_pico = excluded.needed_pico, "
    "last_at = excluded.last_at"
)
_MOST_TOKENS: Final = 2**63
"""What a column of the store can hold."""


class NoRoom(BudgetExceeded):
    """A refusal that the ledger itself reads before a caller does."""

    refusals: tuple[Refusal, ...] = ()

    @property
    def can_wait(self) -> bool:
        """Whether every budget that refused may still find room, and none asks to refuse at once."""
        return can_wait(self.refusals)

    @property
    def counters(self) -> frozenset[int]:
        """The counts without room."""
        return frozenset(refusal.counter for refusal in self.refusals)


def can_wait(refusals: Iterable[Refusal]) -> bool:
    """Whether every budget that refused may still find room, and none asks to refuse at once."""
    return all(refusal.can_come_free and refusal.status.budget.policy != "refuse" for refusal in refusals)


def check_request(request: AttemptRequest) -> None:
    """Nothing, if a ledger can hold the request.

    Raises:
        ConfigurationError: It cannot.
    """
    if not 0 <= request.worst.pico < MOST_PICO:
        raise ConfigurationError(f"a worst case of {request.worst} cannot be reserved")
    for name in ("prompt_tokens", "max_tokens"):
        if not 0 <= (tokens := getattr(request, name)) < _MOST_TOKENS:
            raise ConfigurationError(f"{name}={tokens!r} cannot be reserved")


def check_end(usage: Usage | None, cost: Cost) -> None:
    """Nothing, if a ledger can hold what an attempt came to.

    Raises:
        ConfigurationError: It cannot.
    """
    if not 0 <= cost.total.pico < MOST_PICO:
        raise ConfigurationError(f"a cost of {cost.total} cannot be booked")
    if usage is not None and usage.total_tokens >= _MOST_TOKENS:
        raise ConfigurationError(f"{usage.total_tokens:.3g} tokens cannot be booked")


def no_room(request: AttemptRequest, refused: Sequence[Refusal]) -> NoRoom:
    """The error of a request that `refused` budgets have no room for; of several, one that may never find room."""
    first = min(refused, key=lambda refusal: refusal.can_come_free)
    error = NoRoom(shortage(request, first.status), status=first.status, needed=request.worst)
    error.refusals = tuple(refused)
    return error


def count_refusals(db: Transaction, request: AttemptRequest, refused: Iterable[Refusal], now: int) -> None:
    """Counts a call that budgets have refused for good, once for each of them.

    Calls and answers are too many to keep apart, so a budget of each of them counts under one part.
    """
    for refusal in refused:
        status, budget = refusal.status, refusal.status.budget
        db.run(
            _COUNT,
            (
                refusal.counter,
                status.limit.pico,
                "" if budget.per in ("call", "answer") else status.part,
                now - now % DAY if budget.rolls else max(budget.span(now).start, now - now % DAY),
                request.host,
                request.model,
                request.mode,
                status.name,
                request.worst.pico,
                now,
                now,
            ),
        )


def shortage(request: AttemptRequest, status: BudgetStatus) -> str:
    """What a budget has left, and what may be done."""
    left = "" if status.window_end is None or status.budget.rolls else f" until {status.window_end:%Y-%m-%d %H:%M} UTC"
    return (
        f"the worst case of the call, {request.worst}, does not fit the budget {status.name!r}: of {status.limit}, "
        f"{status.spent} are spent and {status.reserved} reserved, so {status.left} are left{left}. "
        "Lower max_tokens or shorten the prompt, wait, or raise the budget."
    )
