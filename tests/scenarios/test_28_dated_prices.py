"""28. The price of a date, a window over midnight, a weekend, and both shapes of usage, exact to the last digit."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from deepthrift_pricing import PriceBook, parse_usage

DOCUMENTED = {
    "prompt_tokens": 1536,
    "completion_tokens": 96,
    "total_tokens": 1632,
    "prompt_cache_hit_tokens": 1024,
    "prompt_cache_miss_tokens": 512,
}
OPENAI = {
    "prompt_tokens": 1536,
    "completion_tokens": 96,
    "total_tokens": 1632,
    "prompt_tokens_details": {"cached_tokens": 1024},
}
OFFICIAL = [
    # moment the request ended, model, true cost in USD
    ("2025-09-10T12:00:00", "deepseek-chat", "0.00051968"),
    ("2025-09-10T12:00:00", "deepseek-reasoner", "0.00051968"),
    ("2025-09-05T16:00:00", "deepseek-chat", "0.00051968"),
    ("2025-09-05T15:59:59", "deepseek-chat", "0.00031552"),
    ("2025-09-05T15:59:59", "deepseek-reasoner", "0.0006352"),
    ("2025-08-25T16:29:59", "deepseek-chat", "0.00031552"),
    ("2025-08-25T16:30:00", "deepseek-chat", "0.00015776"),
    ("2025-08-25T16:30:00", "deepseek-reasoner", "0.00015776"),
    ("2025-08-25T23:59:59", "deepseek-chat", "0.00015776"),
    ("2025-08-26T00:00:00", "deepseek-chat", "0.00015776"),
    ("2025-08-26T00:29:59", "deepseek-chat", "0.00015776"),
    ("2025-08-26T00:30:00", "deepseek-chat", "0.00031552"),
    ("2025-10-01T00:00:00", "deepseek-chat", "0.000212352"),
]
USERS_OWN = """
[[price]]
id = "day"
cache_miss = "0.60"
cache_hit = "0.06"
completion = "2.00"
checked = 2026-11-01

[[price]]
id = "night"
cache_miss = "0.30"
cache_hit = "0.03"
completion = "1.00"
checked = 2026-11-01
daily = [22:00:00, 06:00:00]

[[price]]
id = "weekend"
cache_miss = "0.10"
cache_hit = "0.01"
completion = "0.50"
checked = 2026-11-01
weekdays = [6, 7]
daily = [06:00:00, 22:00:00]
"""
OWN = [
    ("2026-11-20T21:59:59", "0.00056064"),  # Friday, day
    ("2026-11-20T22:00:00", "0.00028032"),  # Friday, night
    ("2026-11-21T05:59:59", "0.00028032"),  # Saturday, still the night
    ("2026-11-21T06:00:00", "0.00010944"),  # Saturday
    ("2026-11-22T21:59:59", "0.00010944"),  # Sunday
    ("2026-11-23T12:00:00", "0.00056064"),  # Monday
]


@pytest.mark.parametrize(("ended", "model", "cost"), OFFICIAL)
@pytest.mark.parametrize("raw", [DOCUMENTED, OPENAI], ids=["documented", "openai"])
def test_the_official_price_of_every_date(ended: str, model: str, cost: str, raw: dict[str, object]) -> None:
    usage = parse_usage(raw)
    assert usage is not None
    mode = "thinking" if model == "deepseek-reasoner" else "standard"
    moment = datetime.fromisoformat(ended).replace(tzinfo=UTC)
    priced = PriceBook.builtin().cost(
        usage, host="deepseek", model=model, mode=mode, started_at=moment, ended_at=moment
    )
    assert priced.amount == Decimal(cost)
    assert priced.certainty == "exact"


@pytest.mark.parametrize(("ended", "cost"), OWN)
@pytest.mark.parametrize("raw", [DOCUMENTED, OPENAI], ids=["documented", "openai"])
def test_a_users_own_nights_and_weekends(ended: str, cost: str, raw: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(USERS_OWN)
    usage = parse_usage(raw)
    assert usage is not None
    moment = datetime.fromisoformat(ended).replace(tzinfo=UTC)
    priced = PriceBook.load(path).cost(
        usage, host="vllm", model="any", mode="standard", started_at=moment, ended_at=moment
    )
    assert priced.amount == Decimal(cost)


def test_the_completion_time_decides_where_the_provider_said_so() -> None:
    usage = parse_usage(DOCUMENTED)
    assert usage is not None
    before = datetime(2025, 8, 25, 16, 29, 0, tzinfo=UTC)
    after = datetime(2025, 8, 25, 16, 31, 0, tzinfo=UTC)
    book = PriceBook.builtin()
    where = {"host": "deepseek", "model": "deepseek-chat", "mode": "standard"}
    assert book.cost(usage, **where, started_at=before, ended_at=after).amount == Decimal("0.00015776")
    night, day = datetime(2025, 8, 26, 0, 29, tzinfo=UTC), datetime(2025, 8, 26, 0, 31, tzinfo=UTC)
    assert book.cost(usage, **where, started_at=night, ended_at=day).amount == Decimal("0.00031552")
    # Nobody knows beforehand when a request will end: what is reserved covers both.
    worst = book.worst(**where, prompt_tokens=1536, max_tokens=96, at=night)
    assert worst.amount == Decimal("0.00052032")
