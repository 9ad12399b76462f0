"""Set, show and reset budgets on your spend."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from deepthrift_router.cli._shared.options import (
    LedgerPlace,
    json_option,
    ledger_option,
    stands_alone,
    tags_option,
    window,
)

if TYPE_CHECKING:
    from deepthrift_pricing import Budget, Currency, Mode, Policy

EPILOG = """\b
Examples:
  deepthrift budget set 0.50 --per day
  deepthrift budget set 2 --per month --mode thinking --name deep
  deepthrift budget set 5 --per month --tag team=search
  deepthrift budget set 0.05 --per 24h --each user --policy clamp
  deepthrift budget
  deepthrift budget reset deep
  deepthrift budget remove deep

A budget counts worst cases before anything is sent: a call that could cross it is refused (exit code 3), never cut off
afterwards. These budgets hold for the command line; a program gives its own to Ledger.open.
"""


@click.group("budget", invoke_without_command=True, epilog=EPILOG)
@ledger_option
@json_option
@click.pass_context
def command(ctx: click.Context, ledger: LedgerPlace | None, as_json: bool) -> None:
    """Set, show, reset and remove budgets on your spend."""
    stands_alone(ctx)
    if ctx.invoked_subcommand is None:
        _show(ledger, as_json)


@command.command("show", epilog="Example: deepthrift budget show --json")
@ledger_option
@json_option
def show_command(ledger: LedgerPlace | None, as_json: bool) -> None:
    """Show the budgets, what is spent and what is left."""
    _show(ledger, as_json)


def _show(ledger: LedgerPlace | None, as_json: bool) -> None:
    from deepthrift_router.cli._money.ledger import open_ledger
    from deepthrift_router.cli._money.spending import show_budgets
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    with open_ledger(ledger) as opened:
        statuses = opened.budget_status()
    if as_json:
        output.document(
            [{"name": status.name, "left": status.left, **status.model_dump(mode="json")} for status in statuses]
        )
    elif statuses:
        show_budgets(statuses, output)
    else:
        output.print("No budget is in force; set one: deepthrift budget set 0.50 --per day")


@command.command("set", epilog="Example: deepthrift budget set 0.50 --per day --name daily")
@click.argument("amount")
@click.option(
    "--per",
    metavar="WINDOW",
    default="day",
    show_default=True,
    help="The window: call, answer, hour, day, week, month, total, or a rolling one such as 24h or 7d.",
)
@click.option("--name", metavar="NAME", help="Its name.  [default: the window, and what it is limited to]")
@click.option("--host", metavar="NAME", help="Only spend at this host.")
@click.option("--model", metavar="NAME", help="Only spend on this model.")
@click.option("--mode", type=click.Choice(["standard", "thinking"]), help="Only spend in this mode.")
@tags_option("Only spend with this tag; may be repeated.")
@click.option("--each", multiple=True, metavar="NAME", help="Count every value of this tag apart; may be repeated.")
@click.option("--zone", default="UTC", show_default=True, help="The time zone whose days, weeks and months count.")
@click.option(
    "--policy",
    type=click.Choice(["wait", "refuse", "clamp", "downgrade", "warn"]),
    default="wait",
    show_default=True,
    help="When room is short: wait for it while it can come free, refuse at once, send with fewer tokens, "
    "send in standard mode, or only warn.",
)
@click.option("--currency", type=click.Choice(["USD", "CNY"]), default="USD", show_default=True, help="The currency.")
@json_option
def set_command(
    amount: str,
    per: str,
    name: str | None,
    host: str | None,
    model: str | None,
    mode: Mode | None,
    tags: dict[str, str],
    each: tuple[str, ...],
    zone: str,
    policy: Policy,
    currency: Currency,
    as_json: bool,
) -> None:
    """Set a budget of AMOUNT; a budget of the same name is replaced."""
    from deepthrift_pricing import Budget
    from deepthrift_router.cli._money.budgets import changing
    from deepthrift_router.cli._shared.output import Output

    parts = [
        per,
        host,
        model,
        mode,
        *(f"{key}={value}" for key, value in tags.items()),
        *(f"each {tag}" for tag in each),
    ]
    budget = Budget(
        amount,
        window(per),
        tags=tags,
        each=each,
        host=host,
        model=model,
        mode=mode,
        zone=zone,
        policy=policy,
        currency=currency,
        name=name or " ".join(filter(None, parts)),
    )
    with changing() as budgets:
        budgets[:] = [*(each for each in budgets if each.name != budget.name), budget]
    output = Output(as_json=as_json)
    if as_json:
        output.document(budget)
    else:
        output.print(f"{budget.limit} per {per} is in force from now on, as {budget.name!r}.")


def _named(budgets: Sequence[Budget], name: str) -> int:
    for place, budget in enumerate(budgets):
        if budget.name == name:
            return place
    known = ", ".join(repr(budget.name) for budget in budgets) or "none"
    raise click.BadParameter(f"there is no budget {name!r}; there are: {known}", param_hint="NAME")


@command.command("reset", epilog="Example: deepthrift budget reset daily")
@click.argument("name")
@json_option
def reset_command(name: str, as_json: bool) -> None:
    """Open the window of the budget NAME anew: it counts from now on, and the next windows open at this time of day.

    The ledger keeps every attempt; only the count begins again.
    """
    from deepthrift_pricing import Budget
    from deepthrift_pricing.shared.zones import zone_of
    from deepthrift_router.cli._money.budgets import changing
    from deepthrift_router.cli._shared.output import Output

    with changing() as budgets:
        place = _named(budgets, name)
        old = budgets[place]
        if old.per not in ("hour", "day", "week", "month"):
            raise click.UsageError(f"a budget per {old.per} has no window to open anew; set it with another amount")
        budgets[place] = Budget(
            old.limit,
            old.per,
            tags=old.tags,
            host=old.host,
            model=old.model,
            mode=old.mode,
            each=old.each,
            zone=old.zone,
            anchor=datetime.now(zone_of(old.zone)).replace(tzinfo=None),
            policy=old.policy,
            name=old.name,
        )
    output = Output(as_json=as_json)
    if as_json:
        output.document(budgets[place])
    else:
        output.print(f"{name!r} counts from now on.")


@command.command("remove", epilog="Example: deepthrift budget remove daily")
@click.argument("name")
@json_option
def remove_command(name: str, as_json: bool) -> None:
    """Take the budget NAME out of force."""
    from deepthrift_router.cli._money.budgets import changing
    from deepthrift_router.cli._shared.output import Output

    with changing() as budgets:
        del budgets[_named(budgets, name)]
    output = Output(as_json=as_json)
    if as_json:
        output.document({"name": name, "removed": True})
    else:
        output.print(f"{name!r} is no longer in force.")
