"""A ledger with a day of known traffic."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from deepthrift_pricing import AttemptRequest, Ledger, Mode, PriceBook, Purpose, Usage

DAY = datetime(2025, 9, 10, 8, 0, tzinfo=UTC)
BRIEF = PriceBook.named("brief")


class Books:
    """Books attempts one second apart at the brief's prices."""

    def __init__(self, ledger: Ledger, start: datetime = DAY) -> None:
        self.ledger = ledger
        self.now = start
        self.count = 0

    def __call__(self) -> datetime:
        return self.now

    def book(
        self,
        usage: Usage | None,
        *,
        mode: Mode = "standard",
        purpose: Purpose = "answer",
        group: str | None = None,
        status: str = "settled",
        tags: Mapping[str, str] | None = None,
    ) -> str:
        self.count += 1
        self.now += timedelta(seconds=1)
        price = BRIEF.find(host="vllm", model="v3.1", mode=mode, at=self.now)
        attempt_id = f"a{self.count:04}"
        call = f"call{self.count}"
        self.ledger.try_reserve(
            AttemptRequest(
                attempt_id=attempt_id,
                call_id=call,
                group_id=group or call,
                purpose=purpose,
                host="vllm",
                model="v3.1",
                mode=mode,
                prompt_tokens=2000,
                max_tokens=1000,
                worst=price.worst(2000, 1000),
                price_ids=(price.id,),
                tags=tags or {},
                started_at=self.now,
            )
        )
        if status == "released":
            self.ledger.release(attempt_id, ended_at=self.now, http_status=429)
        elif status == "unknown":
            self.ledger.hold_unknown(attempt_id, ended_at=self.now)
        else:
            assert usage is not None
            self.ledger.settle(attempt_id, usage=usage, cost=price.cost(usage), ended_at=self.now)
        return attempt_id


def open_books() -> Books:
    """A memory ledger whose clock is the books' own."""
    clock: list[Books] = []
    ledger = Ledger.open(clock=lambda: clock[0].now if clock else DAY)
    books = Books(ledger)
    clock.append(books)
    return books
