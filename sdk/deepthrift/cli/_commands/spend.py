"""`deepthrift spend`: the ledger read back."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from deepthrift.cli._options import LedgerPlace, json_option, ledger_option, moment, needs_terminal

EPILOG = """\b
Examples:
  deepthrift spend
  deepthrift spend --since today --by model --by mode
  deepthrift spend --by day --since 7d
  deepthrift spend --by tag:team --json
  deepthrift spend --report
  deepthrift spend --since 30d --html report.html
  deepthrift spend --since 30d --export month.csv
  deepthrift spend --since 2026-10-01 --until 2026-11-01 --invoice october.csv
  deepthrift spend --prune 90d

\b
Groups: mode, model, host, purpose, status, certainty, finish_reason, error,
        hour, day, month, call, group, tag:NAME
"""


@click.command("spend", epilog=EPILOG)
@click.option("--by", multiple=True, metavar="GROUP", help="Group by this; may be repeated.  [default: mode]")
@click.option("--since", metavar="MOMENT", type=moment, help="From then on: 2025-09-05, today, 24h, 7d.")
@click.option("--until", metavar="MOMENT", type=moment, help="Up to then.")
@click.option("--report", "reporting", is_flag=True, help="Cache, escalations, and what other ways would have cost.")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report as one page for a browser; it needs deepthrift[report].",
)
@click.option(
    "--prices", metavar="NAME|FILE", help="With --report or --html: the prices that the calls were booked at."
)
@click.option("--billed", metavar="AMOUNT", help="Compare with what the provider says it billed, or its balance fell.")
@click.option(
    "--invoice",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The same, with the sum of an invoice or usage export in CSV.",
)
@click.option("--column", metavar="NAME", help="With --invoice: the column of amounts.  [default: amount, cost, …]")
@click.option("--host", metavar="NAME", help="With --billed or --invoice: whose bill.  [default: the only host]")
@click.option(
    "--export",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write every attempt to a .csv, .jsonl or .parquet file.",
)
@click.option("--prune", "before", metavar="MOMENT", type=moment, help="Delete attempts from before then, at the end.")
@click.option("--yes", is_flag=True, help="With --prune: do not ask.")
@ledger_option
@json_option
def command(
    by: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    reporting: bool,
    page: Path | None,
    prices: str | None,
    billed: str | None,
    invoice: Path | None,
    column: str | None,
    host: str | None,
    file: Path | None,
    before: datetime | None,
    yes: bool,
    ledger: LedgerPlace | None,
    as_json: bool,
) -> None:
    """Read the ledger back: what was spent on what, and what is left of the budgets.

    The ledger holds numbers, names and tags, never prompts or answers.
    """
    from deepthrift.cli._ledger import open_ledger
    from deepthrift.cli._output import Output
    from deepthrift.cli._reconciling import make_reconciliation, reconciliation_data, show_reconciliation
    from deepthrift.cli._reporting import make_page, make_report, show_report
    from deepthrift.cli._spending import refusal_remarks, remarks, show_budgets, spend_table
    from deepthrift_pricing.reports import export

    output = Output(as_json=as_json)
    if prices is not None and not reporting and page is None:
        raise click.UsageError("--prices belongs to --report or --html")
    if column is not None and invoice is None:
        raise click.UsageError("--column belongs to --invoice")
    if yes and before is None:
        raise click.UsageError("--yes belongs to --prune")
    if before is not None and not yes:
        needs_terminal("whether to delete", "--yes")
    if billed is not None and invoice is not None:
        raise click.UsageError("give --billed or --invoice, not both")
    if host and billed is None and invoice is None:
        raise click.UsageError("--host belongs to --billed or --invoice")
    by = by or ("mode",)
    with open_ledger(ledger) as opened:
        path = opened.url
        rows = opened.spend(since=since, until=until, by=by)
        totals = opened.spend(since=since, until=until, by=())
        refusals = opened.refusals(since=since, until=until)
        budgets = opened.budget_status()
        report = make_report(opened, since, until, prices) if reporting else None
        if page is not None:
            with output.working("drawing the page", elsewhere=False):
                make_page(opened, page, since, until, prices)
        compared = None
        if billed is not None or invoice is not None:
            compared = make_reconciliation(opened, since, until, host, billed, invoice, column)
        written = None if file is None else export(opened, file, since=since, until=until)
        if before is not None and not yes:
            click.confirm(f"Delete every attempt from before {before:%Y-%m-%d %H:%M %Z}?", abort=True, err=True)
        pruned = None if before is None else opened.prune(before)
    if as_json:
        output.document(
            {
                "ledger": path,
                "since": since,
                "until": until,
                "by": by,
                "rows": rows,
                "totals": totals,
                "refusals": refusals,
                "budgets": budgets,
                **({"report": report} if report else {}),
                **({"page": page} if page else {}),
                **({"reconciliation": reconciliation_data(compared)} if compared else {}),
                **({"exported": {"file": file, "attempts": written}} if file else {}),
                **({"pruned": pruned} if before else {}),
            }
        )
        return
    span = " ".join(
        f"{word} {when:%Y-%m-%d %H:%M %Z}" for word, when in (("since", since), ("until", until)) if when is not None
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
    if before is not None:
        output.print(f"\n{pruned:,} attempts deleted; budgets keep what they have counted")
