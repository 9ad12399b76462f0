"""The ledger beside the provider's bill."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from deepthrift_router.cli._shared.format import money
from deepthrift_router.cli._shared.output import table

if TYPE_CHECKING:
    from deepthrift_pricing import Currency, Ledger
    from deepthrift_pricing.reports import Invoice, Reconciliation
    from deepthrift_router.cli._shared.output import Output

VERDICTS = {
    "agrees": ("agrees: at most 1 % apart", None),
    "explained": ("explained: the difference lies within what is held as unknown", "yellow"),
    "drifts": ("drifts: more than 1 % apart, and nothing in the ledger explains it", "bold red"),
}


@dataclass(frozen=True, slots=True)
class InvoiceTerms:
    """What the user said of an invoice."""

    file: Path | None
    column: str | None
    decimal: Literal["point", "comma"] | None
    zone: str
    prices: str | None


@dataclass(frozen=True, slots=True)
class InvoiceComparison:
    """The comparison, and what the invoice said, where there was one."""

    result: Reconciliation
    invoice: Invoice | None


def make_reconciliation(
    ledger: Ledger,
    since: datetime | None,
    until: datetime | None,
    host: str | None,
    billed: str | None,
    terms: InvoiceTerms,
) -> InvoiceComparison:
    """The ledger's spend at one host beside the amount or the invoice.

    Raises:
        click.UsageError: The ledger has several hosts, or currencies, and none is named.
        ConfigurationError: The amount or the invoice cannot be read.
    """
    from deepthrift_pricing import Money
    from deepthrift_pricing.reports import reconcile

    spent = [row for row in ledger.spend(since=since, until=until, by=("host",)) if row.total]
    rows = [row for row in spent if host in (None, row.key["host"])]
    hosts = sorted({row.key["host"] or "" for row in rows})
    if host is None and len(hosts) != 1:
        told = f"there are {', '.join(hosts)}" if hosts else "nothing was spent in that time"
        raise click.UsageError(f"name the host whose bill it is with --host; {told}")
    currencies: set[Currency] = {row.total.currency for row in rows}
    currency = currencies.pop() if len(currencies) == 1 else None
    invoice = None if terms.file is None else _read(terms.file, terms, currency, since, until, host or hosts[0])
    result = reconcile(
        ledger,
        host=host or hosts[0],
        since=since or datetime(1970, 1, 1, tzinfo=UTC),
        until=until or datetime.now(UTC),
        billed=Money.of(billed or "0", currency or "USD") if invoice is None else invoice.total,
    )
    return InvoiceComparison(result, invoice)


def _read(
    file: Path,
    terms: InvoiceTerms,
    currency: Currency | None,
    since: datetime | None,
    until: datetime | None,
    host: str,
) -> Invoice:
    from deepthrift_pricing.errors import ConfigurationError
    from deepthrift_pricing.reports import read_invoice
    from deepthrift_router.cli._money.prices import price_book

    try:
        return read_invoice(
            file,
            currency=currency,
            column=terms.column,
            since=since,
            until=until,
            decimal=None if terms.decimal is None else "." if terms.decimal == "point" else ",",
            zone=terms.zone,
            host=host,
            prices=None if terms.prices is None else price_book(terms.prices),
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error.message}") from None


def reconciliation_data(found: InvoiceComparison) -> dict[str, object]:
    """All of it as JSON holds it."""
    result = found.result
    invoice = {} if found.invoice is None else {"invoice": found.invoice.model_dump(mode="json")}
    return {**result.model_dump(mode="json"), "drift": result.drift, "drift_share": result.drift_share, **invoice}


def show_reconciliation(compared: InvoiceComparison, output: Output) -> None:
    """Print both figures and what to make of them."""
    found = compared.result
    output.print(f"\nThe bill of {found.host}", style="bold")
    rows = table("booked", "of it unknown", "billed", "drift", right=("booked", "of it unknown", "billed", "drift"))
    share = "" if found.drift_share is None else f" ({found.drift_share * 100:+.2f} %)"
    rows.add_row(money(found.booked), money(found.unknown), money(found.billed), f"{money(found.drift)}{share}")
    output.print(rows)
    text, style = VERDICTS[found.verdict]
    output.print(text, style=style)
    if (invoice := compared.invoice) is not None:
        output.print(f"{invoice.rows:,} rows of the invoice count ({invoice.layout})", style="dim")
        for note in invoice.notes:
            output.print(note, style="yellow")
