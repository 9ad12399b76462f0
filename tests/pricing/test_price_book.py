"""Which price holds: history, daily windows, weekdays, holidays, the moment that decides, layers; and what it costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift_pricing import Currency, Mode, Money, Price, PriceBook, Usage
from deepthrift_pricing.errors import ConfigurationError, PriceNotFound

REFERENCE = Usage.of(2000, 500, cache_hit=1536, reasoning=300)
EXPERIMENT = Usage.of(1536, 96, cache_hit=1024)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def amounts(price: Price) -> tuple[str, str, str]:
    return str(price.cache_hit), str(price.cache_miss), str(price.completion)


OFFICIAL: list[tuple[str, str, Currency, tuple[str, str, str]]] = [
    # moment, model, currency, (hit, miss, completion)
    ("2024-12-26T00:00:00", "deepseek-chat", "USD", ("0.014", "0.14", "0.28")),
    ("2025-02-08T15:59:59", "deepseek-chat", "CNY", ("0.1", "1", "2")),
    ("2025-02-08T16:00:00", "deepseek-chat", "USD", ("0.07", "0.27", "1.10")),
    ("2025-02-26T16:29:59", "deepseek-chat", "USD", ("0.07", "0.27", "1.10")),
    ("2025-02-26T16:30:00", "deepseek-chat", "USD", ("0.035", "0.135", "0.55")),
    ("2025-06-15T00:29:59", "deepseek-reasoner", "CNY", ("0.25", "1", "4")),
    ("2025-06-15T00:30:00", "deepseek-reasoner", "USD", ("0.14", "0.55", "2.19")),
    ("2025-06-15T00:30:00", "deepseek-reasoner", "CNY", ("1", "4", "16")),
    ("2025-09-05T15:59:59", "deepseek-chat", "CNY", ("0.5", "2", "8")),
    ("2025-09-05T16:00:00", "deepseek-chat", "USD", ("0.07", "0.56", "1.68")),
    ("2025-09-05T16:30:00", "deepseek-reasoner", "USD", ("0.07", "0.56", "1.68")),
    ("2025-09-10T00:00:00", "deepseek-reasoner", "CNY", ("0.5", "4", "12")),
    ("2025-09-28T23:59:59", "deepseek-chat", "USD", ("0.07", "0.56", "1.68")),
    ("2025-09-29T00:00:00", "deepseek-chat", "USD", ("0.028", "0.28", "0.42")),
    ("2025-10-15T15:58:59", "deepseek-v3.1-terminus", "USD", ("0.028", "0.28", "0.42")),
    ("2026-01-01T00:00:00", "deepseek-reasoner", "CNY", ("0.2", "2", "3")),
    ("2026-04-24T00:00:00", "deepseek-chat", "USD", ("0.028", "0.14", "0.28")),
    ("2026-04-24T00:00:00", "deepseek-v4-pro", "USD", ("0.145", "1.74", "3.48")),
    ("2026-04-26T12:15:00", "deepseek-v4-pro", "USD", ("0.003625", "0.435", "0.87")),
    ("2026-04-26T12:15:00", "deepseek-v4-flash", "CNY", ("0.02", "1", "2")),
    ("2026-07-24T15:58:00", "deepseek-reasoner", "USD", ("0.0028", "0.14", "0.28")),
    ("2026-08-16T16:00:00", "deepseek-v4-flash", "USD", ("0.007", "0.22", "0.66")),
    # the first week has its peak on every day: 2026-08-22 is a Saturday
    ("2026-08-22T03:59:59", "deepseek-v4-pro", "USD", ("0.044", "1.32", "3.96")),
    ("2026-08-22T04:00:00", "deepseek-v4-pro", "USD", ("0.022", "0.66", "1.98")),
    # from then on on weekdays only: 2026-08-23 is a Sunday, 2026-08-24 a Monday
    ("2026-08-23T02:00:00", "deepseek-v4-flash", "CNY", ("0.05", "1.5", "4.5")),
    ("2026-08-24T02:00:00", "deepseek-v4-flash", "CNY", ("0.10", "3.0", "9.0")),
    # another name of V4.1 from 2026-09-10, and its peak on a Monday, a Sunday, at noon and on a public holiday
    ("2026-11-23T02:00:00", "deepseek-v4-flash", "USD", ("0.006", "0.30", "1.20")),
    ("2026-11-23T02:00:00", "deepseek-flash", "USD", ("0.006", "0.30", "1.20")),
    ("2026-11-23T09:59:59", "deepseek-flash", "CNY", ("0.04", "2", "8")),
    ("2026-11-23T10:00:00", "deepseek-flash", "CNY", ("0.02", "1", "4")),
    ("2026-11-22T02:00:00", "deepseek-flash", "USD", ("0.003", "0.15", "0.60")),
    ("2026-11-23T12:00:00", "deepseek-flash", "USD", ("0.003", "0.15", "0.60")),
    ("2026-10-01T02:00:00", "deepseek-flash", "USD", ("0.003", "0.15", "0.60")),
    ("2026-10-08T02:00:00", "deepseek-v4-pro", "CNY", ("0.30", "9.0", "27.0")),
]


@pytest.mark.parametrize(("moment", "model", "currency", "expected"), OFFICIAL)
def test_every_dated_row(moment: str, model: str, currency: Currency, expected: tuple[str, str, str]) -> None:
    at = utc(moment)
    price = PriceBook.builtin().find(host="deepseek", model=model, mode="standard", at=at, currency=currency)
    assert amounts(price) == expected
    assert price.currency == currency


@pytest.mark.parametrize(
    ("moment", "model"),
    [
        ("2024-12-25T23:59:59", "deepseek-chat"),
        ("2025-10-15T15:59:00", "deepseek-v3.1-terminus"),
        ("2026-07-24T15:59:00", "deepseek-chat"),
        ("2025-09-10T00:00:00", "deepseek-v4-pro"),
    ],
)
def test_before_and_after_its_time_a_model_has_no_price(moment: str, model: str) -> None:
    with pytest.raises(PriceNotFound, match=model):
        PriceBook.builtin().find(host="deepseek", model=model, mode="standard", at=utc(moment))


def test_the_reference_call_costs_exactly_its_bill() -> None:
    where = {"host": "deepseek", "model": "deepseek-reasoner", "mode": "thinking"}
    cost = PriceBook.builtin().cost(REFERENCE, **where, started_at=utc("2025-09-10T00:00:00"))
    assert cost.amount == Decimal("0.00120736")
    assert (cost.cache_hit + cost.cache_miss + cost.completion) == cost.total
    assert cost.reasoning == Money.of("0.000504")
    assert cost.price_ids == ("deepseek/v3.1/usd",)
    assert PriceBook.builtin().worst(
        **where, prompt_tokens=2000, max_tokens=500, at=utc("2025-09-10T00:00:00")
    ) == Money.of("0.00196")


@pytest.mark.parametrize(
    ("moment", "model", "cost"),
    [
        ("2025-09-10T12:00:00", "deepseek-chat", "0.00051968"),
        ("2026-11-23T02:00:00", "deepseek-flash", "0.000274944"),
        ("2026-11-22T02:00:00", "deepseek-flash", "0.000137472"),
        ("2026-11-23T12:00:00", "deepseek-flash", "0.000137472"),
    ],
)
def test_the_figures_that_others_get_wrong(moment: str, model: str, cost: str) -> None:
    priced = PriceBook.builtin().cost(EXPERIMENT, host="deepseek", model=model, mode="standard", started_at=utc(moment))
    assert priced.amount == Decimal(cost)
    assert priced.certainty == "exact"


def test_the_end_decides_in_2025() -> None:
    book = PriceBook.builtin()
    at, ended = utc("2025-08-25T16:29:00"), utc("2025-08-25T16:31:00")
    where = {"host": "deepseek", "model": "deepseek-chat", "mode": "standard"}
    assert book.find(**where, at=at, ended=ended).id == "deepseek/off-peak-2025/usd"
    assert book.find(**where, at=at).id == "deepseek/v3/usd"


def test_where_nobody_published_the_moment_the_dearer_is_booked_as_estimated() -> None:
    book = PriceBook.builtin()
    where = {"host": "deepseek", "model": "deepseek-flash", "mode": "standard"}
    for start, end in (("09:59:00", "10:01:00"), ("05:59:00", "06:01:00")):
        at, ended = utc(f"2026-11-23T{start}"), utc(f"2026-11-23T{end}")
        assert book.find(**where, at=at, ended=ended).completion == Decimal("1.20")
        cost = book.cost(EXPERIMENT, **where, started_at=at, ended_at=ended)
        assert (cost.amount, cost.certainty) == (Decimal("0.000274944"), "estimated")
    at, ended = utc("2026-11-23T09:58:00"), utc("2026-11-23T09:59:00")
    assert book.cost(EXPERIMENT, **where, started_at=at, ended_at=ended).certainty == "exact"


def test_worst_covers_a_price_that_begins_on_the_way() -> None:
    book = PriceBook.builtin()
    where = {"host": "deepseek", "model": "deepseek-flash", "mode": "standard", "prompt_tokens": 10**6, "max_tokens": 0}
    assert book.worst(**where, at=utc("2026-11-23T05:30:00")).amount == Decimal("0.30")
    assert book.worst(**where, at=utc("2026-11-23T04:30:00")).amount == Decimal("0.15")
    assert book.worst(**where, at=utc("2026-11-23T04:30:00"), within=timedelta(minutes=90)).amount == Decimal("0.30")
    assert book.worst(**where, at=utc("2026-11-22T05:30:00")).amount == Decimal("0.15")


def test_worst_is_fixed_at_the_start_where_the_start_decides() -> None:
    night = {"cache_miss": Decimal(1), "completion": Decimal(1), "checked": utc("2026-11-01T00:00:00").date()}
    rows = [
        Price.model_validate({**night, "id": "night"}),
        Price.model_validate({**night, "id": "day", "daily": ("06:00", "22:00"), "cache_miss": 2, "completion": 2}),
    ]
    where = {"host": "x", "model": "m", "mode": "standard", "prompt_tokens": 10**6, "max_tokens": 0}
    at = utc("2026-11-23T05:59:00")
    assert PriceBook(rows).worst(**where, at=at).amount == 1
    ends = [row.model_copy(update={"decided_by": "end"}) for row in rows]
    assert PriceBook(ends).worst(**where, at=at).amount == 2


@given(
    st.datetimes(datetime(2024, 12, 27), datetime(2026, 11, 20)),  # noqa: DTZ001
    st.integers(0, 3600),
    st.sampled_from(["deepseek-chat", "deepseek-reasoner", "deepseek-v4-pro", "deepseek-flash"]),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
)
def test_no_call_costs_more_than_its_worst_case(
    start: datetime, seconds: int, model: str, prompt: int, completion: int
) -> None:
    book, at = PriceBook.builtin(), start.replace(tzinfo=UTC)
    usage = Usage.of(prompt, completion, cache_hit=prompt // 3)
    try:
        worst = book.worst(
            host="deepseek", model=model, mode="standard", prompt_tokens=prompt, max_tokens=completion, at=at
        )
    except PriceNotFound:
        return
    cost = book.cost(
        usage,
        host="deepseek",
        model=model,
        mode="standard",
        started_at=at,
        ended_at=at + timedelta(seconds=seconds),
    )
    assert cost.total <= worst
    assert cost.cache_hit + cost.cache_miss + cost.completion == cost.total


@given(st.lists(st.datetimes(datetime(2025, 1, 1), datetime(2026, 11, 30)), max_size=12))  # noqa: DTZ001
def test_the_order_of_questions_does_not_change_the_answers(moments: list[datetime]) -> None:
    """A book remembers until when a row holds; a fresh book must say the same."""
    rows = PriceBook.builtin().rows
    used = PriceBook(rows)
    for moment in moments:
        at = moment.replace(tzinfo=UTC)
        found = []
        for book in (used, PriceBook(rows)):
            try:
                found.append(book.find(host="deepseek", model="deepseek-v4-pro", mode="standard", at=at))
            except PriceNotFound:
                found.append(None)
        assert found[0] is found[1]


@pytest.mark.parametrize("mode", get_args(Mode))
def test_the_brief_keeps_the_modes_apart_for_any_model(mode: Mode) -> None:
    price = PriceBook.named("brief").find(host="local", model="smollm2-135m", mode=mode, at=utc("2026-11-23T00:00:00"))
    expected = {"standard": ("0.028", "0.28", "0.42"), "thinking": ("0.028", "0.55", "1.68")}
    assert amounts(price) == expected[mode]


def test_the_official_profiles_hold_for_any_host_and_date() -> None:
    for name, expected in (
        ("official-2025-09-05", ("0.07", "0.56", "1.68")),
        ("official-2025-09-29", ("0.028", "0.28", "0.42")),
    ):
        price = PriceBook.named(name).find(host="vllm", model="x", mode="thinking", at=utc("2031-01-01T00:00:00"))
        assert amounts(price) == expected
    with pytest.raises(ConfigurationError, match="brief"):
        PriceBook.named("official")


def test_a_missing_hit_price_is_the_miss_price_and_a_hit_price_of_zero_is_zero() -> None:
    where = {"host": "x", "model": "y", "mode": "standard", "started_at": utc("2026-01-01T00:00:00")}
    usage = Usage.of(1000, 0, cache_hit=1000)
    without = PriceBook.flat(cache_miss="0.5", completion="1").cost(usage, **where)
    assert without.cache_hit == Money.of("0.0005")
    free = PriceBook.flat(cache_miss="0.5", completion="1", cache_hit="0").cost(usage, **where)
    assert free.total == Money(0)


def test_later_layers_win_whatever_they_are() -> None:
    at = utc("2025-09-10T00:00:00")
    own = PriceBook.flat(cache_miss="9", completion="9", name="own")
    named = PriceBook.flat(cache_miss="8", completion="8", host="deepseek", model="DeepSeek-Chat", name="named")
    where = {"host": "deepseek", "mode": "standard", "at": at}
    assert (PriceBook.builtin() + own).find(**where, model="deepseek-chat").id == "own"
    assert (own + PriceBook.builtin()).find(**where, model="deepseek-chat").id == "deepseek/v3.1/usd"
    both = PriceBook.builtin() + named
    assert both.find(**where, model="deepseek-chat").id == "named"
    assert both.find(**where, model="deepseek-reasoner").id == "deepseek/v3.1/usd"
    assert len(both) == len(PriceBook.builtin()) + 1


def test_within_a_layer_the_narrowest_row_wins() -> None:
    day = utc("2026-11-01T00:00:00").date()
    base = {"cache_miss": 1, "completion": 1, "checked": day}
    rows = [
        Price.model_validate({**base, "id": "window", "daily": ("01:00", "02:00")}),
        Price.model_validate({**base, "id": "mode", "mode": "thinking"}),
        Price.model_validate({**base, "id": "model", "models": ("M",)}),
        Price.model_validate({**base, "id": "host", "host": "h"}),
        Price.model_validate({**base, "id": "dated", "valid_from": utc("2026-01-01T00:00:00")}),
        Price.model_validate({**base, "id": "first"}),
        Price.model_validate({**base, "id": "second"}),
    ]
    noon, night = utc("2026-11-23T12:00:00"), utc("2026-11-23T01:30:00")
    book = PriceBook(rows)
    assert book.find(host="h", model="m", mode="thinking", at=night).id == "window"
    assert book.find(host="h", model="m", mode="thinking", at=noon).id == "mode"
    assert book.find(host="h", model="m", mode="standard", at=noon).id == "model"
    assert book.find(host="h", model="n", mode="standard", at=noon).id == "host"
    assert book.find(host="g", model="n", mode="standard", at=noon).id == "dated"
    assert book.find(host="g", model="n", mode="standard", at=utc("2025-01-01T00:00:00")).id == "second"


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_opens() -> None:
    row = Price.model_validate(
        {
            "id": "friday night",
            "cache_miss": 1,
            "completion": 1,
            "checked": utc("2026-11-01T00:00:00").date(),
            "daily": ("22:00", "06:00"),
            "weekdays": [5],
            "except_dates": ["2026-11-27"],
            "zone": "Asia/Shanghai",
        }
    )
    shanghai = timedelta(hours=8)
    for text, holds in (
        ("2026-11-20T21:59:59", False),
        ("2026-11-20T22:00:00", True),
        ("2026-11-21T05:59:59", True),
        ("2026-11-21T06:00:00", False),
        ("2026-11-21T23:00:00", False),
        ("2026-11-20T05:00:00", False),
        ("2026-11-27T23:00:00", False),
        ("2026-11-28T05:00:00", False),
        ("2026-12-04T23:00:00", True),
    ):
        assert row.holds_at(utc(text) - shanghai) is holds, text


@pytest.mark.parametrize(
    ("host", "model", "currency", "told"),
    [
        ("deepseek", "deepseek-chat", "USD", "ended at 2026-07-24 15:59 UTC"),
        ("deepseek", "gpt-oss", "USD", "Known here are deepseek-chat"),
        ("vllm", "deepseek-ai/DeepSeek-V3.1", "USD", "PriceBook.flat"),
    ],
)
def test_a_missing_price_says_what_to_do(host: str, model: str, currency: Currency, told: str) -> None:
    with pytest.raises(PriceNotFound, match=told.replace(".", r"\.")) as missing:
        PriceBook.builtin().find(
            host=host, model=model, mode="standard", at=utc("2026-11-23T00:00:00"), currency=currency
        )
    assert isinstance(missing.value, LookupError)


def test_a_price_in_the_other_currency_is_mentioned() -> None:
    book = PriceBook.flat(cache_miss="4", completion="12", currency="CNY")
    with pytest.raises(PriceNotFound, match="There is one in CNY"):
        book.find(host="x", model="y", mode="standard", at=utc("2026-11-23T00:00:00"))


def test_an_explanation_shows_row_window_and_arithmetic() -> None:
    told = PriceBook.builtin().explain(
        REFERENCE,
        host="deepseek",
        model="deepseek-reasoner",
        mode="thinking",
        started_at=utc("2025-09-10T00:00:00"),
        ended_at=utc("2025-09-10T00:00:09"),
    )
    text = str(told)
    for part in (
        "deepseek/v3.1/usd",
        "from 2025-09-05 16:00 UTC",
        "1,536 cache hit × 0.07 ÷ 1,000,000 = 0.00010752",
        "464 cache miss × 0.56 ÷ 1,000,000 = 0.00025984",
        "500 completion × 1.68 ÷ 1,000,000 = 0.00084",
        "300 reasoning",
        "total 0.00120736 USD",
        "the end decides",
    ):
        assert part in text
    assert told.cost.amount == Decimal("0.00120736")


@given(
    st.integers(0, 200_000),
    st.integers(0, 10**12),
    st.datetimes(datetime(2026, 9, 20), datetime(2026, 11, 20)),  # noqa: DTZ001
)
def test_what_can_be_afforded_is_exactly_what_fits(prompt: int, room: int, start: datetime) -> None:
    book, at = PriceBook.builtin(), start.replace(tzinfo=UTC)
    most = book.affordable(
        Money(room), host="deepseek", model="deepseek-flash", mode="standard", prompt_tokens=prompt, at=at
    )

    def worst(max_tokens: int) -> int:
        return book.worst(
            host="deepseek",
            model="deepseek-flash",
            mode="standard",
            prompt_tokens=prompt,
            max_tokens=max_tokens,
            at=at,
        ).pico

    if most is None:
        assert worst(0) > room
    else:
        assert worst(most) <= room < worst(most + 1)


def test_what_costs_nothing_can_always_be_afforded() -> None:
    book = PriceBook.flat(cache_miss="0", completion="0")
    most = book.affordable(Money(0), host="x", model="y", mode="standard", prompt_tokens=9, at=utc("2026-01-01T00:00"))
    assert most is not None
    assert most > 10**6


def test_a_price_that_was_not_checked_for_long_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    day = datetime.now(UTC).date() - timedelta(days=200)
    base = {"host": "h", "cache_miss": 1, "completion": 1, "checked": day, "source": "their page"}
    old = Price.model_validate({**base, "id": "old", "models": ["old"]})
    ended = Price.model_validate({**base, "id": "ended", "models": ["ended"], "valid_to": utc("2036-01-01T00:00:00")})
    yardstick = Price.model_validate({**base, "id": "yardstick", "host": "*", "models": ["any"]})
    book = PriceBook([old, ended, yardstick])
    assert book.stale() == (old,)
    assert book.stale(day + timedelta(days=180)) == ()
    for model in ("old", "old", "ended", "any"):
        book.find(host="h", model=model, mode="standard", at=utc("2026-01-01T00:00:00"))
    [record] = caplog.records
    assert "the price old was last compared" in record.getMessage()
    assert "their page" in record.getMessage()


@pytest.mark.parametrize(
    ("host", "model", "tier", "cost"),
    [
        ("openrouter", "deepseek/deepseek-chat-v3.1", "standard", "0.00069212"),
        ("fireworks", "accounts/fireworks/models/deepseek-v3p1", "standard", "0.00196"),
        ("bedrock", "deepseek.v3-v1:0", "standard", "0.002"),
        ("bedrock", "deepseek.v3-v1:0", "flex", "0.001"),
        ("bedrock", "deepseek.v3-v1:0", "priority", "0.0035"),
        ("together", "deepseek-ai/DeepSeek-V3.1", "batch", "0.001025"),
        ("novita", "deepseek/deepseek-v3.1-terminus", "standard", "0.00083264"),
    ],
)
def test_the_reference_call_elsewhere(host: str, model: str, tier: str, cost: str) -> None:
    priced = PriceBook.builtin().cost(
        REFERENCE, host=host, model=model, mode="thinking", started_at=utc("2026-05-01T00:00:00"), tier=tier
    )
    assert priced.amount == Decimal(cost)


def test_a_tier_that_a_host_does_not_have_has_no_price() -> None:
    with pytest.raises(PriceNotFound, match="There is one for the tier 'standard'"):
        PriceBook.builtin().find(
            host="wandb", model="deepseek-ai/DeepSeek-V3.1", mode="standard", at=utc("2026-05-01T00:00"), tier="flex"
        )


def test_the_comparison_models_are_apart_from_the_official_prices() -> None:
    book = PriceBook.named("comparison")
    for model, cost in (("gpt-5.2", "0.0105"), ("claude-opus-4.5", "0.0225"), ("gemini-2.0-flash", "0.00031")):
        priced = book.cost(REFERENCE, host="any", model=model, mode="standard", started_at=utc("2026-05-01T00:00"))
        assert priced.amount == Decimal(cost)
        with pytest.raises(PriceNotFound):
            PriceBook.builtin().find(host="openai", model=model, mode="standard", at=utc("2026-05-01T00:00"))


def test_an_explanation_says_so_where_it_is_not_known_what_decides() -> None:
    book = PriceBook.builtin()
    where = {"host": "deepseek", "model": "deepseek-flash", "mode": "standard"}
    split = book.explain(REFERENCE, **where, started_at=utc("2026-11-23T09:59:00"), ended_at=utc("2026-11-23T10:01:00"))
    assert split.price.id == "deepseek/v4.1-flash-peak/usd/2"
    assert "it is not published which decides; the dearer is booked" in split.decision
    for part in ("daily 06:00-10:00 UTC", "on Mon Tue Wed Thu Fri", "not on 2026-09-25 2026-10-01"):
        assert part in split.window
    assert str(split).endswith("(estimated)")
    whole = book.explain(REFERENCE, **where, started_at=utc("2026-11-23T12:00:00"))
    assert "the start and the end fall under the same price" in whole.decision


def test_an_explanation_of_a_flat_price_without_a_price_for_hits() -> None:
    book = PriceBook.flat(cache_miss="1", completion="2")
    told = book.explain(
        Usage.of(1000, 10, cache_hit=500), host="x", model="y", mode="standard", started_at=utc("2026-11-23T12:00:00")
    )
    assert told.window == "at all times"
    assert "500 cache hit (no own price, billed as a miss) × 1 ÷ 1,000,000 = 0.0005" in told.arithmetic
    assert not any("reasoning" in line for line in told.arithmetic)
    assert told.decision.endswith("the start decides")


def test_a_book_at_a_service_tier_has_its_rows_as_the_usual_price() -> None:
    flex = PriceBook.builtin().at_tier("flex")
    assert {row.id for row in flex.rows} == {"bedrock/v3.1-flex/usd"}
    usage = Usage.of(1_000_000, 1_000_000)
    cost = flex.cost(
        usage, host="bedrock", model="deepseek.v3-v1:0", mode="standard", started_at=utc("2026-11-20T12:00:00")
    )
    assert (cost.total, cost.price_ids) == (Money.of("1.13"), ("bedrock/v3.1-flex/usd",))
    with pytest.raises(PriceNotFound, match="batch, flex, priority, standard"):
        PriceBook.builtin().at_tier("express")
