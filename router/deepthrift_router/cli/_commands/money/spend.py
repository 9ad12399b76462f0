"""Read the ledger back."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from deepthrift_router.cli._shared.options import LedgerPlace, json_option, ledger_option, needs_terminal
from deepthrift_router.cli._shared.zones import moments_in, zone_option

EPILOG = """\b
Examples:
  deepthrift spend
  deepthrift spend --since today --by model --by mode
  deepthrift spend --by day --since 7d --zone Asia/Shanghai
  deepthrift spend --by tag:team --json
  deepthrift spend --report
  deepthrift spend --since 30d --html report.html
  deepthrift spend --since 30d --export month.csv --excel
  deepthrift spend --since 2026-10-01 --until 2026-11-01 --invoice october.csv
  deepthrift spend --prune 90d

\b
Groups: mode, model, host, purpose, status, certainty, finish_reason, error,
        hour, day, month, call, group, tag:NAME
"""


@click.command("spend", epilog=EPILOG)
@click.option("--by", multiple=True, metavar="GROUP", help="Group by this; may be repeated.  [default: mode]")
@click.option("--since", metavar="MOMENT", help="From then on: 2025-09-05, today, 24h, 7d.")
@click.option("--until", metavar="MOMENT", help="Up to then.")
@click.option(
    "--zone",
    metavar="NAME",
    default="UTC",
    show_default=True,
    callback=zone_option,
    help="The time zone of hours, days and months, and of moments that name none.",
)
@click.option("--report", "reporting", is_flag=True, help="Cache, escalations, and what other ways would have cost.")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report as one page for a browser; it needs deepthrift[report].",
)
@click.option(
    "--prices",
    metavar="NAME|FILE",
    help="With --report or --html: prices of the calls. With --invoice: of token counts.",
)
@click.option("--billed", metavar="AMOUNT", help="Compare with what the provider says it billed, or its balance fell.")
@click.option(
    "--invoice",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The same, with an invoice or usage export: CSV, also in gzip or zip, or Parquet.",
)
@click.option("--column", metavar="NAME", help="With --invoice: the column of amounts, where it is not known.")
@click.option(
    "--decimal",
    type=click.Choice(["point", "comma"]),
    help="With --invoice: the mark in front of decimals, where the file leaves it open.",
)
@click.option("--host", metavar="NAME", help="With --billed or --invoice: whose bill.  [default: the only host]")
@click.option(
    "--export",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write every attempt to a .csv, .jsonl or .parquet file.",
)
@click.option("--excel", is_flag=True, help="With --export to a .csv file: in a form that Excel reads in any script.")
@click.option("--prune", "before", metavar="MOMENT", help="Delete attempts from before then, at the end.")
@click.option("--yes", is_flag=True, help="With --prune: do not ask.")
@ledger_option
@json_option
def command(
    by: tuple[str, ...],
    since: str | None,
    until: str | None,
    zone: str,
    reporting: bool,
    page: Path | None,
    prices: str | None,
    billed: str | None,
    invoice: Path | None,
    column: str | None,
    decimal: Literal["point", "comma"] | None,
    host: str | None,
    file: Path | None,
    excel: bool,
    before: str | None,
    yes: bool,
    ledger: LedgerPlace | None,
    as_json: bool,
) -> None:
    """Read the ledger back: what was spent on what, and what is left of the budgets.

    The ledger holds numbers, names and tags, never prompts or answers.
    """
    from deepthrift_pricing.reports import export
    from deepthrift_router.cli._money.ledger import open_ledger
    from deepthrift_router.cli._money.reconciling import (
        InvoiceTerms,
        make_reconciliation,
        reconciliation_data,
        show_reconciliation,
    )
    from deepthrift_router.cli._money.reporting import make_page, make_report, show_report
    from deepthrift_router.cli._money.spending import refusal_remarks, remarks, show_budgets, spend_table
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    if prices is not None and not reporting and page is None and invoice is None:
        raise click.UsageError("--prices belongs to --report, --html or --invoice")
    if column is not None and invoice is None:
        raise click.UsageError("--column belongs to --invoice")
    if decimal is not None and invoice is None:
        raise click.UsageError("--decimal belongs to --invoice")
    if excel and file is None:
        raise click.UsageError("--excel belongs to --export")
    if yes and before is None:
        raise click.UsageError("--yes belongs to --prune")
    if before is not None and not yes:
        needs_terminal("whether to delete", "--yes")
    if billed is not None and invoice is not None:
        raise click.UsageError("give --billed or --invoice, not both")
    if host and billed is None and invoice is None:
        raise click.UsageError("--host belongs to --billed or --invoice")
    by = by or ("mode",)
    start, end, oldest = moments_in(zone, since=since, until=until, prune=before)
    with open_ledger(ledger) as opened:
        path = opened.url
        rows = opened.spend(since=start, until=end, by=by, zone=zone)
        totals = opened.spend(since=start, until=end, by=())
        refusals = opened.refusals(since=start, until=end)
        budgets = opened.budget_status()
        report = make_report(opened, start, end, prices, zone) if reporting else None
        if page is not None:
            with output.working("drawing the page", elsewhere=False):
                make_page(opened, page, start, end, prices, zone)
        compared = None
        if billed is not None or invoice is not None:
            terms = InvoiceTerms(invoice, column, decimal, zone, prices)
            compared = make_reconciliation(opened, start, end, host, billed, terms)
        written = None if file is None else export(opened, file, since=start, until=end, excel=excel)
        if oldest is not None and not yes:
            click.confirm(f"Delete every attempt from before {oldest:%Y-%m-%d %H:%M %Z}?", abort=True, err=True)
        pruned = None if oldest is None else opened.prune(oldest)
    if as_json:
        output.document(
            {
                "ledger": path,
                "since": start,
                "until": end,
                "zone": zone,
                "by": by,
                "rows": rows,
                "totals": totals,
                "refusals": refusals,
                "budgets": budgets,
                **({"report": report} if report else {}),
                **({"page": page} if page else {}),
                **({"reconciliation": reconciliation_data(compared)} if compared else {}),
                **({"exported": {"file": file, "attempts": written}} if file else {}),
                **({"pruned": pruned} if oldest else {}),
            }
        )
        return
    span = " ".join(
        f"{word} {when:%Y-%m-%d %H:%M %Z}" for word, when in (("since", start), ("until", end)) if when is not None
    )
    output.print(f"{path}{' ' + span if span else ''}", style="dim", whole=True)
    if not rows:
        output.print('Nothing spent here yet: deepthrift ask "What is the capital of France?"')
    else:
        output.print()
        output.print(spend_table(rows, by, totals))
        for remark in remarks(totals):
            output.print(remark, style="yellow")
    for remark in refusal_remarks(refusals):
        output.print(remark, style="yellow")
    if report is not None:
        show_report(report, output)
    if compared is not None:
        show_reconciliation(compared, output)
    if budgets:
        output.print("\nBudgets", style="bold")
        show_budgets(budgets, output)
    elif rows:
        output.print("\nNo budget is in force; set one: deepthrift budget set 0.50 --per day", style="dim")
    if page is not None:
        output.print(f"\nThe page is in {page}", whole=True)
    if file is not None:
        output.print(f"\n{written:,} attempts written to {file}", whole=True)
    if oldest is not None:
        output.print(f"\n{pruned:,} attempts deleted; budgets keep what they have counted")
