"""Some days of plausible traffic in a ledger, for pages and reports."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from deepthrift_pricing import AttemptRequest, Budget, Ledger, Mode, PriceBook, Purpose, Usage, new_id

START = datetime(2025, 9, 10, tzinfo=UTC)
PRICES = PriceBook.named("brief")
HOSTILE = "<script>alert('x')</script>"
"""A tag's value that must never become markup."""


class Traffic:
    """Books answers, samples and escalations on a clock of its own, always the same ones."""

    def __init__(self, url: str = "memory:") -> None:
        self.now = START
        self._random = random.Random(4)
        self.ledger = Ledger.open(
            url,
            clock=lambda: self.now,
            budgets=[
                Budget("0.5", per="month", name="september"),
                Budget("0.02", per="day", tags={"team": "search"}, name="search a day"),
            ],
        )

    def answers(self, count: int, *, unknown_every: int = 0) -> None:
        """So many routed answers."""
        chance = self._random
        for number in range(1, count + 1):
            group, prompt = new_id("grp"), chance.randint(200, 1200)
            tags = {"team": chance.choice(["search", "chat", HOSTILE])}
            held = unknown_every > 0 and number % unknown_every == 0
            self.book("standard", "answer", group, prompt, chance.randint(20, 200), tags, unknown=held)
            if chance.random() < 0.4:
                self.book("standard", "sample", group, prompt, chance.randint(20, 200), tags, cached=True)
            if chance.random() < 0.25:
                self.book("thinking", "escalate", group, prompt, chance.randint(150, 400), tags, cached=True)

    def book(
        self,
        mode: Mode,
        purpose: Purpose,
        group: str,
        prompt: int,
        completion: int,
        tags: dict[str, str],
        *,
        cached: bool = False,
        unknown: bool = False,
    ) -> None:
        """One attempt."""
        self.now += timedelta(minutes=self._random.randint(1, 55))
        price = PRICES.find(host="vllm", model="deepseek-v3.1", mode=mode, at=self.now)
        name = new_id("att")
        self.ledger.try_reserve(
            AttemptRequest(
                attempt_id=name,
                call_id=name,
                group_id=group,
                purpose=purpose,
                host="vllm",
                model="deepseek-v3.1",
                mode=mode,
                prompt_tokens=prompt,
                max_tokens=500,
                worst=price.worst(prompt, 500),
                price_ids=(price.id,),
                tags=tags,
                started_at=self.now,
            )
        )
        if unknown:
            self.ledger.hold_unknown(name, ended_at=self.now)
            return
        usage = Usage.of(
            prompt,
            completion,
            cache_hit=prompt // 64 * 64 if cached else 0,
            reasoning=completion // 2 if mode == "thinking" else 0,
        )
        self.ledger.settle(name, usage=usage, cost=price.cost(usage), ended_at=self.now)
