"""The report as text: cache, escalations, and what other ways would have cost."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from deepthrift_router.cli._shared.format import money
from deepthrift_router.cli._shared.output import table

if TYPE_CHECKING:
    from deepthrift_pricing import Ledger, PriceBook
    from deepthrift_pricing.reports import Report
    from deepthrift_router.cli._shared.output import Output


def make_report(
    ledger: Ledger, since: datetime | None, until: datetime | None, prices: str | None, zone: str = "UTC"
) -> Report:
    """The report, beside the comparison models of the project's brief."""
    from deepthrift_pricing import PriceBook
    from deepthrift_pricing.reports import Report
    from deepthrift_router.cli._money.prices import price_book

    book = price_book(prices) if prices else book_of(ledger, since)
    compare = PriceBook.named("comparison").rows
    return Report.of(ledger, since=since, until=until, zone=zone, prices=book, compare=compare)


def make_page(
    ledger: Ledger, path: Path, since: datetime | None, until: datetime | None, prices: str | None, zone: str = "UTC"
) -> None:
    """Write the report as a page, beside the same comparison models."""
    from deepthrift_pricing import PriceBook
    from deepthrift_pricing.reports.page import report_page, write_page
    from deepthrift_router.cli._money.prices import price_book

    book = price_book(prices) if prices else book_of(ledger, since)
    compare = PriceBook.named("comparison").rows
    write_page(report_page(ledger, since=since, until=until, zone=zone, prices=book, compare=compare), path)


def book_of(ledger: Ledger, since: datetime | None) -> PriceBook:
    """The packaged price book that the attempts were booked at; the built-in one if they mix several."""
    from deepthrift_pricing import PriceBook
    from deepthrift_router.cli._money.prices import PROFILES

    used = {name for attempt in ledger.attempts(since=since) for name in attempt.cost.price_ids}
    books = [PriceBook.named(name) for name in PROFILES]
    found = next((book for book in books if used <= {row.id for row in book.rows}), None)
    return found if found is not None and used else PriceBook.builtin()


def show_report(report: Report, output: Output) -> None:
    """Print what `spend` does not."""
    cache, escalations = report.cache, report.escalations
    output.print("\nCache", style="bold")
    share = "" if cache.hit_share is None else f" ({cache.hit_share * 100:.1f} % of the prompt tokens)"
    output.print(f"  hits    {cache.hit_tokens:,} tokens, {money(cache.hit_cost)}{share}")
    output.print(f"  misses  {cache.miss_tokens:,} tokens, {money(cache.miss_cost)}")
    output.print("\nEscalations", style="bold")
    rate = "" if escalations.rate is None else f" ({escalations.rate * 100:.1f} %)"
    output.print(f"  {escalations.escalated:,} of {escalations.answers:,} answers{rate}")
    output.print(f"  second samples and checks {money(escalations.verification)}")
    output.print(f"  thinking {money(escalations.escalation)} · replaced drafts {money(escalations.drafts)}")
    output.print("\nThe other ways", style="bold")
    rows = table("instead", "would cost", "95 % interval", "saved", right=("would cost", "saved"))
    for other in report.counterfactuals:
        if other.cost is None or other.saved is None:
            rows.add_row(other.name, "unknown", "", "")
            continue
        interval = ""
        if other.low is not None and other.high is not None and other.low != other.high:
            interval = f"{money(other.low, 6)} to {money(other.high, 6)}"
        rows.add_row(other.name, money(other.cost), interval, money(other.saved))
    output.print(rows)
    reasons: dict[str, list[str]] = {}
    for other in report.counterfactuals:
        reasons.setdefault(other.reason, []).append(other.name)
    for reason, names in reasons.items():
        output.print(f"  {', '.join(names)}: {reason}", style="dim")
