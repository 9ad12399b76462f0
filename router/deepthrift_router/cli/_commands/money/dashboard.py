"""Show the spend live in a browser."""

from __future__ import annotations

from datetime import timedelta

import click

from deepthrift_router.cli._shared.options import LedgerPlace, json_option, ledger_option, span

EPILOG = """\b
Examples:
  deepthrift dashboard
  deepthrift dashboard --past 7d --port 8123

Only this machine can reach it, and only who knows the address, which is new each time. Needs deepthrift[dashboard].
"""


@click.command("dashboard", epilog=EPILOG)
@click.option("--past", metavar="SPAN", type=span, help="How far to look back, such as 24h or 7d.  [default: all]")
@click.option("--zone", default="UTC", show_default=True, help="The time zone of hours and days.")
@click.option("--prices", metavar="NAME|FILE", help="The prices that the calls were booked at.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port.  [default: one that is free]")
@click.option("--open/--no-open", "opening", default=True, help="Whether to open a browser.  [default: open]")
@ledger_option
@json_option
def command(
    past: timedelta | None,
    zone: str,
    prices: str | None,
    port: int,
    opening: bool,
    ledger: LedgerPlace | None,
    as_json: bool,
) -> None:
    """Show the spend live in a browser: the page of `spend --html`, mended as calls are booked."""
    from deepthrift_router.cli._money.serving import serve_dashboard
    from deepthrift_router.cli._shared.output import Output

    serve_dashboard(
        ledger, past=past, zone=zone, prices=prices, port=port, opening=opening, output=Output(as_json=as_json)
    )
