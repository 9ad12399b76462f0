"""Prices that depend on the prompt's length, on what the cache stores, and on requests billed by themselves."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift_pricing import Bracket, Price, PriceBook, Usage
from deepthrift_pricing.errors import PriceDataError, PriceNotFound

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
AT = {"host": "h", "model": "m", "mode": "standard"}

amounts = st.sampled_from([Decimal(text) for text in ("0", "0.003", "0.15", "0.6", "1.25", "2.000002", "15", "999")])
"""Prices that can be; half of each has at most six decimals too."""
tokens = st.integers(0, 2_000_000)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """Any row with brackets, cache writes and fees."""

    def parts() -> dict[str, Decimal | None]:
        miss = draw(amounts)
        return {
            "cache_hit": draw(st.sampled_from([None, miss / 2])),
            "cache_miss": miss,
            "completion": draw(amounts),
            "cache_write": draw(st.none() | amounts),
        }

    starts = draw(st.lists(st.integers(0, 1_500_000), unique=True, max_size=3))
    kinds = draw(st.dictionaries(st.sampled_from(["search", "fetch", "ocr_page", "call"]), amounts))
    return Price.model_validate(
        {
            "id": "row",
            "checked": date(2026, 11, 30),
            **parts(),
            "brackets": [{"above": start, **parts()} for start in starts],
            "per_request": kinds,
        }
    )


@st.composite
def usages(draw: st.DrawFn, *, most: int = 2_000_000) -> Usage:
    prompt = draw(st.integers(0, most))
    hit = draw(st.integers(0, prompt))
    return Usage.of(prompt, draw(tokens), cache_hit=hit, cache_write=draw(st.none() | st.integers(0, prompt - hit)))


def in_words(price: Price, usage: Usage) -> Decimal:
    """What the row says, worked out as a person would: one bracket for all tokens."""
    held: Price | Bracket = price
    for bracket in price.brackets:
        if usage.prompt_tokens > bracket.above:
            held = bracket
    written = usage.cache_write_tokens or 0
    hit = held.cache_miss if held.cache_hit is None else held.cache_hit
    write = held.cache_miss if held.cache_write is None else held.cache_write
    total = hit * usage.cache_hit_tokens + held.cache_miss * (usage.cache_miss_tokens - written) + write * written
    total += held.completion * usage.completion_tokens
    requests = {**({"call": 1} if "call" in price.per_request else {}), **usage.requests}
    return total / 1_000_000 + sum(price.per_request[kind] * count / 1000 for kind, count in requests.items())


@given(prices(), usages())
def test_the_cost_is_what_the_row_says(price: Price, usage: Usage) -> None:
    cost = price.cost(usage)
    assert cost.amount == in_words(price, usage)
    assert cost.cache_hit + cost.cache_miss + cost.completion + cost.requests == cost.total


@given(prices(), st.data())
def test_the_worst_case_bounds_every_cost(price: Price, data: st.DataObject) -> None:
    """Whatever the length turns out to be, up to the bound, and however much of it the cache stores."""
    kinds = sorted(set(price.per_request) - {"call"})
    bounds = {kind: data.draw(st.integers(0, 50)) for kind in kinds}
    prompt, completion = data.draw(tokens), data.draw(tokens)
    usage = data.draw(usages(most=prompt))
    usage = usage.model_copy(
        update={
            "completion_tokens": data.draw(st.integers(0, completion)),
            "requests": {kind: data.draw(st.integers(0, most)) for kind, most in bounds.items()},
        }
    )
    assert price.cost(usage).total <= price.worst(prompt, completion, bounds)


@given(prices(), tokens, st.integers(0, 10**14))
def test_what_can_be_afforded_fits_and_one_more_does_not(price: Price, prompt: int, room: int) -> None:
    most = price.affordable(room, prompt, {})
    if most is None:
        assert price.worst(prompt, 0).pico > room
    elif most < 0:
        assert price.worst(prompt, 10**6) == price.worst(prompt, 0)
    else:
        assert price.worst(prompt, most).pico <= room < price.worst(prompt, most + 1).pico


def test_a_prompt_as_long_as_the_limit_is_still_short() -> None:
    price = Price.model_validate(
        {
            "id": "r", "checked": date(2026, 11, 30), "cache_miss": "1.25", "completion": "10",
            "brackets": [{"above": 200_000, "cache_miss": "2.50", "completion": "15"}],
        }
    )  # fmt: skip
    assert price.cost(Usage.of(200_000, 0)).amount == Decimal("0.25")
    assert price.cost(Usage.of(200_001, 0)).amount == Decimal("0.5000025")
    assert price.rates(200_000) == (1_250_000, 1_250_000, 10_000_000)
    assert price.rates(200_001)[2] == 15_000_000


def test_stored_tokens_are_exact_where_the_host_counts_them_and_estimated_where_not() -> None:
    price = Price.model_validate(
        {"id": "r", "checked": date(2026, 11, 30), "cache_miss": "3", "cache_write": "3.75", "completion": "15"}
    )
    counted = price.cost(Usage.of(1_000_000, 0, cache_write=400_000))
    assert (counted.amount, counted.certainty) == (Decimal("3.3"), "exact")
    none = price.cost(Usage.of(1_000_000, 0, cache_write=0))
    assert (none.amount, none.certainty) == (Decimal(3), "exact")
    untold = price.cost(Usage.of(1_000_000, 0))
    assert (untold.amount, untold.certainty) == (Decimal(3), "estimated")
    assert price.worst(1_000_000, 0).amount == Decimal("3.75")
    cached = price.cost(Usage.of(1_000_000, 0, cache_hit=1_000_000))
    assert cached.certainty == "exact"  # nothing was left to store


def test_requests_have_a_price_or_an_error_and_never_cost_nothing() -> None:
    book = PriceBook.flat(cache_miss="1", completion="1", per_request={"search": "0.75"})
    cost = book.cost(Usage.of(0, 0, requests={"search": 2}), **AT, started_at=NOON)
    assert cost.requests == cost.total
    assert cost.amount == Decimal("0.0015")
    assert str(cost) == "0.0015 USD (0.0015 USD of it for requests)"
    assert cost.model_dump(mode="json")["requests"] == {"amount": "0.0015", "currency": "USD"}
    with pytest.raises(PriceNotFound, match=r"no amount for requests of the kind 'fetch' \(it has: search\)"):
        book.cost(Usage.of(0, 0, requests={"fetch": 1}), **AT, started_at=NOON)
    with pytest.raises(PriceNotFound, match="fetch"):
        book.worst(**AT, prompt_tokens=1, max_tokens=1, requests={"fetch": 1})
    assert book.cost(Usage.of(0, 0, requests={"fetch": 0}), **AT, started_at=NOON).amount == 0
    explained = book.explain(Usage.of(10, 1, requests={"search": 2}), **AT, started_at=NOON)
    assert "2 search × 0.75 ÷ 1,000 requests = 0.0015" in explained.arithmetic


def test_a_fee_for_every_call_is_counted_once() -> None:
    book = PriceBook.flat(cache_miss="1", completion="1", per_request={"call": "12"})
    assert book.cost(Usage.of(0, 0), **AT, started_at=NOON).amount == Decimal("0.012")
    assert book.worst(**AT, prompt_tokens=0, max_tokens=0).amount == Decimal("0.012")
    assert book.affordable(book.worst(**AT, prompt_tokens=0, max_tokens=7), **AT, prompt_tokens=0) == 7


def test_the_unit_is_exact_per_request() -> None:
    book = PriceBook.flat(cache_miss="0", completion="0", per_request={"search": "0.123456789"})
    assert book.cost(Usage.of(0, 0, requests={"search": 3}), **AT, started_at=NOON).amount == Decimal("0.000370370367")


FILE = """
[[price]]
id = "long"
host = "h"
models = ["m"]
checked = 2026-11-30
usd = ["0.10", "1", "4"]
cny = ["0.7", "7", "28"]
times = 2
per_request = {usd = {search = "0.75"}, cny = {search = "5"}}
brackets = [{above = 100, usd = ["0.20", "2", "8"], cny = ["1.4", "14", "56"]}]
"""


def test_a_price_file_holds_brackets_and_requests_for_each_currency(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(FILE, encoding="utf-8")
    usd, cny = PriceBook.load(path).rows
    assert usd.cost(Usage.of(101, 0, cache_hit=101)).amount == Decimal("0.0000404")  # times 2
    assert cny.brackets[0].completion == 112
    assert usd.per_request == {"search": Decimal("0.75")}  # not multiplied
    assert cny.per_request == {"search": Decimal(5)}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('brackets = [{above = 1, cache_miss = "1", completion = "1"}]', "give usd in every bracket"),
        ("brackets = 3", "give a list of tables"),
        ('brackets = [{above = -1, usd = ["", "1", "1"]}]', "above"),
        ('brackets = [{above = 1, usd = ["", "1", "1"]}, {above = 1, usd = ["", "2", "2"]}]', "two brackets begin"),
        ('brackets = [{above = 1, usd = ["2", "1", "1"]}]', "cannot cost more than a miss"),
        ('per_request = {search = "1"}', "'search' is no currency"),
        ('per_request = {usd = {"web search" = "1"}}', "is not a kind of request"),
        ('per_request = {usd = {search = "2000"}}', "cannot be a price per 1,000 requests"),
        ('per_request = {usd = {search = "0.0000000001"}}', "cannot be a price per 1,000 requests"),
        ("per_request = {usd = 3}", "give a table of amounts by kind"),
        ('models = ["a*b"]', "stands at the end"),
    ],
)
def test_a_wrong_row_is_refused_by_name(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(f'[[price]]\nid = "x"\nchecked = 2026-11-30\nusd = ["", "1", "1"]\n{line}\n', encoding="utf-8")
    with pytest.raises(PriceDataError, match=says):
        PriceBook.load(path)


def test_an_ending_names_many_models_and_a_whole_name_wins() -> None:
    def row(id: str, *models: str) -> Price:
        return Price.model_validate(
            {"id": id, "models": models, "checked": date(2026, 11, 30), "cache_miss": "1", "completion": "1"}
        )

    book = PriceBook([row("any", "*"), row("one", "flash-vision"), row("all", "flash-*")])

    def found(model: str) -> str:
        return book.find(host="h", model=model, mode="standard", at=NOON).id

    assert [found(name) for name in ("Flash-0731", "flash-vision", "flash", "pro")] == ["all", "one", "any", "any"]
