"""The page: what was spent, on what, what it bought, what is left, and which prices made it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from importlib.resources import files
from pathlib import Path

from deepthrift_pricing._ledger.ledger import Ledger
from deepthrift_pricing._ledger.spend import SpendRow
from deepthrift_pricing._prices.book import PriceBook
from deepthrift_pricing._prices.price import Price
from deepthrift_pricing._values.money import Currency, Money
from deepthrift_pricing.reports._counterfactual import Counterfactual
from deepthrift_pricing.reports.page import _figures as figures
from deepthrift_pricing.reports.page._data import PageData, gather
from deepthrift_pricing.reports.page._html import cards, figure, money, paragraph, percent, section, table, text


def report_page(
    ledger: Ledger,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    zone: str = "UTC",
    currency: Currency = "USD",
    prices: PriceBook | None = None,
    compare: Sequence[Price] = (),
    remarks: Sequence[str] = (),
) -> str:
    """One HTML page that needs nothing else: it opens offline, prints, and holds no prompt and no answer.

    Args:
        ledger: Where to read; nothing is changed.
        since: From this moment on; left out, from the first attempt.
        until: Up to but without this moment; left out, now.
        zone: The time zone whose hours, days and months are meant.
        currency: Attempts in the other currency are left out.
        prices: The prices that the calls were booked at, for the other ways and the list of rows.
        compare: Prices of models elsewhere.
        remarks: Sentences on what escalations bought, such as a router's audits tell.

    Raises:
        ConfigurationError: There is no such zone, or matplotlib is not installed.
        LedgerUnavailable: The ledger cannot be read.
    """
    figures.need_matplotlib()
    data = gather(ledger, since=since, until=until, zone=zone, currency=currency, prices=prices, compare=compare)
    return whole(content(data, remarks))


def write_page(page: str, path: Path) -> None:
    """Write a page to a file. An existing one is replaced as a whole; only its owner may read it.

    Raises:
        OSError: The file cannot be written.
    """
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(page)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def whole(inner: str, head: str = "", before: str = "") -> str:
    """The page around what stands inside `<main>`; more for its head, and what stands before `<main>`."""
    style = files("deepthrift_pricing.reports.page").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>Spend – Deepthrift</title><link rel="icon" href="data:,"><style>{style}</style>{head}</head>'
        f'<body><a class="skip" href="#content">To the figures</a>{before}<main id="content">{inner}</main>'
        "</body></html>\n"
    )


def content(data: PageData, remarks: Sequence[str] = ()) -> str:
    """What stands inside `<main>`."""
    report = data.report
    since = "the first attempt" if report.since is None else f"{report.since:%Y-%m-%d %H:%M %Z}"
    title = "<h1>Spend</h1>" + paragraph(
        f"From {since} to {report.until:%Y-%m-%d %H:%M %Z}; days and hours in {report.zone}. "
        f"Amounts in {report.currency}.",
        kind="quiet",
    )
    if not report.attempts:
        return title + paragraph("Nothing was spent in this time.") + _budgets(data) + _foot()
    return "".join(
        (
            title,
            _summary(data),
            _unsure(data),
            _over_time(data),
            _cache(data),
            _escalations(data, remarks),
            _others(data),
            _budgets(data),
            _costliest(data),
            _by(data),
            _prices(data),
            _foot(),
        )
    )


def _both(draw: Callable[[float], str]) -> tuple[str, str]:
    return draw(figures.WIDE), draw(figures.NARROW)


def _summary(data: PageData) -> str:
    report = data.report
    thinking = next((row for row in report.by_mode if row.key["mode"] == "thinking"), None)
    share = Decimal(0) if thinking is None or not report.total else Decimal(thinking.total.pico) / report.total.pico
    always = next((other for other in report.counterfactuals if other.name == "always thinking"), None)
    return cards(
        (
            ("Spent", money(report.total), f"{report.attempts:,} attempts"),
            ("On thinking", percent(share), "of the spend"),
            ("Cache hits", percent(report.cache.hit_share), "of the prompt tokens"),
            ("Escalated", percent(report.escalations.rate), f"of {report.escalations.answers:,} answers"),
            ("Saved against always thinking", *_saved(always)),
        )
    )


def _saved(other: Counterfactual | None) -> tuple[str, str]:
    if other is None or other.saved is None:
        return "unknown", other.reason if other is not None else ""
    if other.cost is None or other.low is None or other.high is None or other.low == other.high:
        return money(other.saved), other.basis
    spent = other.cost - other.saved
    return money(other.saved), f"95 % interval {money(other.low - spent)} to {money(other.high - spent)}"


def _unsure(data: PageData) -> str:
    report, said = data.report, ""
    if report.estimated:
        said += paragraph(f"{money(report.estimated)} of it is estimated from what arrived.", kind="quiet")
    if report.unknown:
        said += paragraph(
            f"{money(report.unknown)} of it is held at the worst case: nobody knows whether it was billed.",
            kind="warning",
        )
    return said


def _over_time(data: PageData) -> str:
    bars = data.bars
    highest = max(bars, key=lambda bar: (bar.standard + bar.thinking).pico)
    modes = ", ".join(f"{row.key['mode']} {money(row.total)}" for row in data.report.by_mode)
    said = f"Spend by {data.step}: {modes}. The most in one {data.step} was "
    said += f"{money(highest.standard + highest.thinking)} ({highest.label})."
    numbers = table(
        f"Spend by {data.step}",
        (data.step, "standard", "thinking", "total"),
        ((bar.label, money(bar.standard), money(bar.thinking), money(bar.standard + bar.thinking)) for bar in bars),
        numbers=(1, 2, 3),
    )
    wide, narrow = _both(lambda width: figures.spend_over_time(bars, width))
    return section("spend", "Spend over time", figure(said, wide, narrow, numbers))


def _cache(data: PageData) -> str:
    cache, bars = data.report.cache, data.bars
    said = (
        f"Prompt tokens by {data.step}: {cache.hit_tokens:,} cache hits for {money(cache.hit_cost)}, "
        f"{cache.miss_tokens:,} misses for {money(cache.miss_cost)}."
    )
    numbers = table(
        f"Prompt tokens by {data.step}",
        (data.step, "cache hit", "cache miss"),
        ((bar.label, f"{bar.hit_tokens:,}", f"{bar.miss_tokens:,}") for bar in bars),
        numbers=(1, 2),
    )
    wide, narrow = _both(lambda width: figures.cache_over_time(bars, width))
    return section("cache", "Cache hits and misses", figure(said, wide, narrow, numbers))


def _escalations(data: PageData, remarks: Sequence[str]) -> str:
    found = data.report.escalations
    rows = (
        ("answers", f"{found.answers:,}"),
        ("escalated to thinking", f"{found.escalated:,} ({percent(found.rate)})"),
        ("second samples and checks", money(found.verification)),
        ("thinking after a standard answer", money(found.escalation)),
        ("standard answers that were replaced", money(found.drafts)),
    )
    each = ""
    if found.escalated:
        spent = found.escalation + found.drafts
        mean = Money(round(spent.pico / found.escalated), spent.currency)
        each = paragraph(f"An escalation cost {money(mean)} on average, its replaced answer included.")
    said = [paragraph(remark) for remark in remarks] or [
        paragraph(
            "What escalations bought in right answers is not in the ledger; a router's audits and feedback tell.",
            kind="quiet",
        )
    ]
    return section(
        "escalations",
        "Escalations and what they bought",
        table("Verification and escalation", ("what", "how much"), rows, numbers=(1,)),
        each,
        *said,
    )


def _others(data: PageData) -> str:
    report = data.report
    known = [other for other in report.counterfactuals if other.cost is not None]
    rows = [
        (
            other.name,
            "unknown" if other.cost is None else money(other.cost),
            _interval(other),
            "–" if other.saved is None else money(other.saved),
            other.reason,
        )
        for other in report.counterfactuals
    ]
    numbers = table(
        "The other ways", ("instead", "would cost", "95 % interval", "saved", "rests on"), rows, numbers=(1, 2, 3)
    )
    told = "; ".join(f"{other.name} {money(other.cost)}" for other in known if other.cost is not None)
    said = f"Really spent {money(report.total)}. The same traffic done otherwise: {told or 'nobody knows'}."
    if not known:
        return section("others", "Saving against the other ways", paragraph(said), numbers)
    wide, narrow = _both(lambda width: figures.other_ways(known, report.total, width))
    return section("others", "Saving against the other ways", figure(said, wide, narrow, numbers))


def _interval(other: Counterfactual) -> str:
    if other.low is None or other.high is None or other.low == other.high:
        return "–"
    return f"{money(other.low)} to {money(other.high)}"


def _budgets(data: PageData) -> str:
    parts: list[str] = []
    for number, burn in enumerate(data.burns):
        status = burn.status
        name = f"{status.name} ({status.part})" if status.part else status.name
        said = f"{money(status.spent)} of {money(status.limit)} spent, {money(status.left)} left"
        said += f", {money(status.reserved)} reserved" if status.reserved else ""
        said += f". The window ends {status.window_end:%Y-%m-%d %H:%M} UTC." if status.window_end else "."
        if status.spent.pico >= status.limit.pico:
            said += " It is used up."
        elif burn.ends is not None:
            said += f" At this pace it is used up {burn.ends:%Y-%m-%d %H:%M} UTC."
        rows = [(f"{moment:%Y-%m-%d %H:%M:%S}", money(amount)) for moment, amount in _thinned(burn.points)]
        numbers = table(f"{name}: spent so far", ("UTC", "spent"), rows, numbers=(1,))
        wide, narrow = _both(partial(figures.burn_down, burn, data.report.until, number))
        parts += [f"<h3>{text(name)}</h3>", figure(said, wide, narrow, numbers)]
    if not parts:
        return section("budgets", "Budgets", paragraph("No budget is in force that counts over time."))
    return section("budgets", "Budgets", *parts)


def _thinned(points: Sequence[tuple[datetime, Money]], most: int = 40) -> Sequence[tuple[datetime, Money]]:
    """Evenly chosen ones of many, with the last."""
    if len(points) <= most:
        return points
    stride = -(-len(points) // most)
    return [*points[:-1:stride], points[-1]]


def _costliest(data: PageData) -> str:
    rows = (
        (
            f"{answer.at:%Y-%m-%d %H:%M}",
            ", ".join(f"{name}={value}" for name, value in answer.tags) or "–",
            answer.model,
            " and ".join(answer.modes),
            f"{answer.attempts:,}",
            f"{answer.tokens:,}",
            money(answer.cost),
            answer.group_id,
        )
        for answer in data.costliest
    )
    head = ("UTC", "tags", "model", "mode", "attempts", "tokens", "cost", "id in the ledger")
    parts = [table("The most expensive answers", head, rows, numbers=(4, 5, 6))]
    for name, found in data.report.by_tag.items():
        parts.append(_spend_table(f"Spend by the tag {name}", f"tag:{name}", name, found))
    parts.append(paragraph("Prompts are not in the ledger, so they are not here.", kind="quiet"))
    return section("costliest", "Most expensive answers and tags", *parts)


def _by(data: PageData) -> str:
    report = data.report
    return section(
        "by",
        "Modes, models and hosts",
        _spend_table("Spend by mode", "mode", "mode", report.by_mode),
        _spend_table("Spend by model", "model", "model", report.by_model),
        _spend_table("Spend by host", "host", "host", report.by_host),
    )


def _spend_table(caption: str, key: str, name: str, rows: Sequence[SpendRow]) -> str:
    ordered = sorted(rows, key=lambda row: row.total.pico, reverse=True)
    return table(
        caption,
        (name, "attempts", "prompt tokens", "cache hit", "completion", "reasoning", "for requests", "cost"),
        (
            (
                row.key[key] or "–",
                f"{row.attempts:,}",
                f"{row.prompt_tokens:,}",
                f"{row.cache_hit_tokens:,}",
                f"{row.completion_tokens:,}",
                f"{row.reasoning_tokens:,}",
                money(row.requests),
                money(row.total),
            )
            for row in ordered
        ),
        numbers=(1, 2, 3, 4, 5, 6, 7),
    )


def _prices(data: PageData) -> str:
    rows: list[tuple[str, ...]] = [
        (
            row.id,
            f"{row.cache_miss if row.cache_hit is None else row.cache_hit:f}",
            f"{row.cache_miss:f}",
            f"{row.completion:f}",
            row.currency,
            f"{row.checked:%Y-%m-%d}",
            row.source or "–",
        )
        for row in data.prices
    ]
    rows += [(name, "–", "–", "–", "–", "–", "not in the price book at hand") for name in data.unknown_prices]
    head = ("row", "cache hit", "cache miss", "output", "per million tokens", "checked", "source")
    return section("prices", "Price rows used", table("Price rows used", head, rows, numbers=(1, 2, 3)))


def _foot() -> str:
    return (
        "<footer>"
        + paragraph(
            "Made by Deepthrift from its ledger: numbers, names and tags, no prompts and no answers.", kind="quiet"
        )
        + "</footer>"
    )
