"""Spend and budgets as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from deepthrift_router.cli._shared.format import limit as limit_text
from deepthrift_router.cli._shared.format import money
from deepthrift_router.cli._shared.output import table

if TYPE_CHECKING:
    from datetime import datetime

    from rich.table import Table

    from deepthrift_pricing import BudgetStatus, RefusalRow, SpendRow
    from deepthrift_router.cli._shared.output import Output

_BAR: Final = 20
_NUMBERS: Final = (("attempts", 9), ("prompt", 9), ("cached", 2), ("output", 9), ("reasoning", 1), ("cost", 9))
"""The numbers of a row, each with the most groups beside which it still fits at 80 columns."""


def spend_table(rows: Sequence[SpendRow], by: Sequence[str], totals: Sequence[SpendRow]) -> Table:
    """One line a group, and the totals; the more groups, the fewer numbers fit on a line."""
    numbers = [name for name, most in _NUMBERS if len(by) <= most]
    found = table(*(name.removeprefix("tag:") for name in by), *numbers, right=tuple(numbers))
    for row in rows:
        found.add_row(*(row.key[name] or "-" for name in by), *_numbers(row, numbers))
    for row in totals if len(rows) > 1 or not by else ():
        found.add_row(*(["total", *[""] * (len(by) - 1)] if by else []), *_numbers(row, numbers), style="bold")
    return found


def _numbers(row: SpendRow, wanted: Sequence[str]) -> list[str]:
    known = {
        "attempts": f"{row.attempts:,}",
        "prompt": f"{row.prompt_tokens:,}",
        "cached": f"{row.cache_hit_tokens:,}",
        "output": f"{row.completion_tokens:,}",
        "reasoning": f"{row.reasoning_tokens:,}",
        "cost": money(row.total),
    }
    return [known[name] for name in wanted]


def remarks(totals: Sequence[SpendRow]) -> list[str]:
    """What part of the totals is not exact, or not settled yet."""
    lines: list[str] = []
    for row in totals:
        for amount, what in (
            (row.estimated, "of it estimated from what arrived (cancelled or cut streams)"),
            (row.unknown, "of it held at the worst case, because nobody knows whether it was billed"),
            (row.requests, "of it for requests that are billed by themselves (searches, fetched pages)"),
            (row.reserved, "more reserved for requests under way"),
        ):
            if amount:
                lines.append(f"{money(amount)} {what}")
    return lines


def refusal_remarks(rows: Sequence[RefusalRow]) -> list[str]:
    """How many calls each budget refused, and when it last did."""
    counts: dict[str, int] = {}
    latest: dict[str, datetime] = {}
    for row in rows:
        counts[row.budget] = counts.get(row.budget, 0) + row.refused
        latest[row.budget] = max(latest.get(row.budget, row.last_at), row.last_at)
    return [
        f"{count:,} {'call' if count == 1 else 'calls'} refused by the budget {name}, "
        f"the last one at {latest[name]:%Y-%m-%d %H:%M} UTC"
        for name, count in counts.items()
    ]


def show_budgets(statuses: Sequence[BudgetStatus], output: Output) -> None:
    """One block a budget: how much of it is spent, and until when its window lasts."""
    for status in statuses:
        spent = status.spent
        share = spent.pico / status.limit.pico if status.limit else 1.0
        filled = min(_BAR, round(share * _BAR)) or (1 if spent else 0)
        bar = "#" * filled + "." * (_BAR - filled)
        style = "bold red" if share >= 1 else "yellow" if share >= 0.8 else None
        name = f"{status.name} ({status.part})" if status.part else status.name
        output.print(f"[{bar}] {share * 100:.1f} % of {limit_text(status.limit)}  {name}", style=style)
        parts = [f"spent {money(spent)}", f"left {money(status.left)}"]
        if status.reserved:
            parts.append(f"reserved {money(status.reserved)}")
        if status.unknown:
            parts.append(f"unknown {money(status.unknown)}")
        if status.over:
            parts.append(f"over by {money(status.over)}")
        if status.refused:
            parts.append(f"refused {status.refused:,} {'call' if status.refused == 1 else 'calls'}")
        output.print(f"    {' · '.join(parts)}", style="dim")
        if status.window_start or status.window_end:
            since = f"since {status.window_start:%Y-%m-%d %H:%M}" if status.window_start else ""
            until = f"until {status.window_end:%Y-%m-%d %H:%M}" if status.window_end else ""
            output.print(f"    {' '.join(filter(None, (since, until)))} UTC", style="dim")
