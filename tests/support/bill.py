"""The true bill: what a provider would charge, worked out without any of the code under test."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Mode = Literal["standard", "thinking"]


@dataclass(frozen=True)
class Rates:
    """Prices in USD per million tokens."""

    cache_hit: Decimal = Decimal("0.07")
    cache_miss: Decimal = Decimal("0.56")
    completion: Decimal = Decimal("1.68")

    @classmethod
    def of(cls, cache_hit: str, cache_miss: str, completion: str) -> Rates:
        return cls(Decimal(cache_hit), Decimal(cache_miss), Decimal(completion))

    def cost(self, prompt: int, cache_hit: int, completion: int) -> Decimal:
        return (self.cache_hit * cache_hit + self.cache_miss * (prompt - cache_hit) + self.completion * completion) / (
            Decimal(1_000_000)
        )


@dataclass(frozen=True)
class BilledRequest:
    """One line of the bill."""

    number: int
    """Number of the request, from 0, in order of arrival."""
    mode: Mode
    prompt_tokens: int
    cache_hit_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cost: Decimal
    complete: bool
    """Whether the answer was generated to its end."""


class Bill:
    """Every billed request, in order of billing. Safe to read from any thread."""

    def __init__(self, rates: Rates, thinking: Rates | None = None) -> None:
        self.rates: dict[Mode, Rates] = {"standard": rates, "thinking": thinking or rates}
        self._lines: list[BilledRequest] = []
        self._lock = threading.Lock()

    def charge(
        self, number: int, mode: Mode, *, prompt: int, cache_hit: int, completion: int, reasoning: int, complete: bool
    ) -> BilledRequest:
        cost = self.rates[mode].cost(prompt, cache_hit, completion)
        line = BilledRequest(number, mode, prompt, cache_hit, completion, reasoning, cost, complete)
        with self._lock:
            self._lines.append(line)
        return line

    @property
    def lines(self) -> list[BilledRequest]:
        with self._lock:
            return list(self._lines)

    @property
    def total(self) -> Decimal:
        """USD, exact."""
        return sum((line.cost for line in self.lines), Decimal(0))

    def by_mode(self, mode: Mode) -> Decimal:
        """USD billed for one mode, exact."""
        return sum((line.cost for line in self.lines if line.mode == mode), Decimal(0))

    def __len__(self) -> int:
        return len(self.lines)
