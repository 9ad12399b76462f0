"""The ledger beside the provider's bill."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deepthrift_router.cli._shared.format import money
from deepthrift_router.cli._shared.output import table

if TYPE_CHECKING:
    from deepthrift_pricing import Currency, Ledger
    from deepthrift_pricing.reports import Reconciliation
    from deepthrift_router.cli._shared.output import Output

VERDICTS = {
    "agrees": ("agrees: at most 1 % apart", None),
    "explained": ("explained: the difference lies within what is held as unknown", "yellow"),
    "drifts": ("drifts: more than 1 % apart, and nothing in the ledger explains it", "bold red"),
}


def make_reconciliation(
    ledger: Ledger,
    since: datetime | None,
    until: datetime | None,
    host: str | None,
    billed: str | None,
    invoice: Path | None,
    column: str | None,
) -> Reconciliation:
    """The ledger's spend at one host beside the amount or the invoice.

    Raises:
        click.UsageError: The ledger has several hosts, or currencies, and none is named.
        ConfigurationError: The amount or the invoice cannot be read.
    """
    from deepthrift_pricing import Money
    from deepthrift_pricing.reports import invoice_total, reconcile

    spent = [row for row in ledger.spend(since=since, until=until, by=("host",)) if row.total]
    rows = [row for row in spent if host in (None, row.key["host"])]
    hosts = sorted({row.key["host"] or "" for row in rows})
    if host is None and len(hosts) != 1:
        told = f"there are {', '.join(hosts)}" if hosts else "nothing was spent in that time"
        raise click.UsageError(f"name the host whose bill it is with --host; {told}")
    currencies: set[Currency] = {row.total.currency for row in rows}
    currency = currencies.pop() if len(currencies) == 1 else None
    if invoice is not None:
        total = invoice_total(_text(invoice), currency=currency, column=column)
    else:
        total = Money.of(billed or "0", currency or "USD")
    return reconcile(
        ledger,
        host=host or hosts[0],
        since=since or datetime(1970, 1, 1, tzinfo=UTC),
        until=until or datetime.now(UTC),
        billed=total,
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise click.BadParameter(f"{str(file)!r} is not a text in UTF-8", param_hint="--invoice") from None


def reconciliation_data(found: Reconciliation) -> dict[str, object]:
    """All of it as JSON holds it."""
    return {**found.model_dump(mode="json"), "drift": found.drift, "drift_share": found.drift_share}


def show_reconciliation(found: Reconciliation, output: Output) -> None:
    """Print both figures and what to make of them."""
    output.print(f"\nThe bill of {found.host}", style="bold")
    rows = table("booked", "of it unknown", "billed", "drift", right=("booked", "of it unknown", "billed", "drift"))
    share = "" if found.drift_share is None else f" ({found.drift_share * 100:+.2f} %)"
    rows.add_row(money(found.booked), money(found.unknown), money(found.billed), f"{money(found.drift)}{share}")
    output.print(rows)
    text, style = VERDICTS[found.verdict]
    output.print(text, style=style)
