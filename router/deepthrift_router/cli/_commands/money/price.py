"""Show the prices in force and explain a cost."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import click

from deepthrift_router.cli._shared.options import json_option, moment, stands_alone

if TYPE_CHECKING:
    from deepthrift_pricing import Currency, Mode, Price, PriceBook, PriceExplanation
    from deepthrift_router.cli._shared.output import Output

MODES: tuple[Mode, ...] = ("standard", "thinking")
DAYS = ("", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

EPILOG = """\b
Examples:
  deepthrift price
  deepthrift price --host deepseek --model deepseek-chat --at 2025-09-10
  deepthrift price --host deepseek --all
  deepthrift price --host bedrock --tier batch
  deepthrift price --prices comparison
  deepthrift price explain --prompt 2000 --cache-hit 1536 --completion 500

`brief` is the project's own yardstick, a price for each mode. It was never an official table: DeepSeek has charged one
price for both modes since 2025-09-05.
"""

EXPLAIN_EPILOG = """\b
Examples:
  deepthrift price explain --prompt 2000 --cache-hit 1536 \\
      --completion 500 --reasoning 300
  deepthrift price explain --prompt 2000 --completion 500 \\
      --mode thinking --prices brief
  deepthrift price explain --prompt 2000 --completion 500 --prices builtin \\
      --host deepseek --model deepseek-chat --at 2025-08-30T17:00Z
  deepthrift price explain --prompt 2000 --completion 500 --host deepseek \\
      --model deepseek-flash --at 2026-11-23T00:59Z --ended 2026-11-23T01:01Z
  deepthrift price explain --prompt 40000 --completion 500 --host deepseek \\
      --model deepseek-flash --requests search=2
"""


@dataclass(frozen=True)
class PriceFilter:
    """Which prices are wanted; `None` means: not said."""

    prices: str | None
    host: str | None
    model: str | None
    mode: Mode | None
    tier: str | None
    at: datetime | None
    currency: Currency


def _which(function: Callable[..., object]) -> Callable[..., object]:
    """Add the options that choose prices; the command gets them as one `which: PriceFilter`."""

    @functools.wraps(function)
    def packed(**values: Any) -> object:
        which = PriceFilter(**{name: values.pop(name) for name in PriceFilter.__dataclass_fields__})
        return function(which=which, **values)

    decorated: Callable[..., object] = packed
    for option in reversed(
        (
            click.option(
                "--prices", metavar="NAME|FILE", envvar="DEEPTHRIFT_PRICES", help="A profile, builtin, or a TOML file."
            ),
            click.option("--host", metavar="NAME", help="The host that bills, e.g. deepseek."),
            click.option("--model", metavar="NAME", help="The model, e.g. deepseek-chat."),
            click.option("--mode", type=click.Choice(["standard", "thinking"]), help="Only this mode."),
            click.option("--tier", metavar="NAME", help="The service tier, such as batch.  [default: standard]"),
            click.option(
                "--at", "at", metavar="MOMENT", type=moment, help="The moment; UTC if no zone is given.  [default: now]"
            ),
            click.option(
                "--currency", type=click.Choice(["USD", "CNY"]), default="USD", show_default=True, help="The currency."
            ),
            json_option,
        )
    ):
        decorated = option(decorated)
    return decorated


@click.group("price", invoke_without_command=True, epilog=EPILOG)
@_which
@click.option("--all", "everything", is_flag=True, help="Every row, past and future ones too.")
def command(which: PriceFilter, everything: bool, as_json: bool) -> None:
    """Show prices per 1,000,000 tokens: the profiles, or the rows in force for a host and model."""
    ctx = click.get_current_context()
    stands_alone(ctx)
    if ctx.invoked_subcommand is not None:
        return
    from deepthrift_pricing import PriceBook
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    when, currency = which.at or datetime.now(UTC), which.currency
    fitting = [
        row
        for row in _rows(which.prices, which.host)
        if (which.host is None or row.host in ("*", which.host))
        and (which.model is None or row.fits(which.model.lower()))
        and (which.mode is None or row.mode in (None, which.mode))
        and row.currency == currency
        and row.tier == (which.tier or (row.tier if everything else "standard"))
    ]
    rows = fitting if everything else _in_force(fitting, when, which.mode)
    if not rows:
        from deepthrift_pricing.errors import PriceNotFound

        request = " ".join(filter(None, (which.host, which.model, which.mode, which.tier)))
        raise PriceNotFound(
            f"no {currency} price in force at {when:%Y-%m-%d %H:%M} for {request or 'this'}; "
            "--all shows every row, --at another moment."
        )
    ending_calendars = PriceBook(fitting).ending_calendars(when.date())
    if as_json:
        document = {"at": when, "per_tokens": 1_000_000, "currency": currency, "prices": rows}
        output.document({**document, "ending_calendars": ending_calendars})
        return
    output.print(f"{currency} per 1,000,000 tokens" + ("" if everything else f", in force at {when:%Y-%m-%d %H:%M %Z}"))
    _show(output, rows)
    for calendar in ending_calendars:
        output.print(f"\n{calendar}", style="yellow")


def _rows(prices: str | None, host: str | None) -> Sequence[Price]:
    from deepthrift_router.cli._money.prices import PROFILES, price_book

    if prices:
        return price_book(prices).rows
    if host:
        return price_book("builtin").rows
    return [row for name in PROFILES for row in price_book(name).rows]


def _in_force(rows: Sequence[Price], when: datetime, mode: Mode | None) -> list[Price]:
    """The rows that decide at `when`: of several that hold for a model and mode, the one that a price book picks."""
    from deepthrift_pricing import PriceBook

    deciding: set[str] = set()
    for profile in {_profile(row) for row in rows}:
        group = [row for row in rows if _profile(row) == profile and row.holds_at(when)]
        book = PriceBook(group)
        for row in group:
            for name in row.models:
                for each in (mode,) if mode else (row.mode,) if row.mode else MODES:
                    found = book.find(
                        host=row.host, model=name, mode=each, at=when, currency=row.currency, tier=row.tier
                    )
                    deciding.add(found.id)
    return [row for row in rows if row.id in deciding]


def _profile(row: Price) -> str:
    return row.id.partition("/")[0]


def _show(output: Output, rows: Sequence[Price]) -> None:
    from deepthrift_router.cli._shared.output import table

    found = table("row", "mode", "cache hit", "cache miss", "output", right=("cache hit", "cache miss", "output"))
    for row in rows:
        hit = "as miss" if row.cache_hit is None else f"{row.cache_hit:f}"
        found.add_row(row.id, row.mode or "both", hit, f"{row.cache_miss:f}", f"{row.completion:f}")
    output.print(found)
    told: dict[str, list[str]] = {}
    today = datetime.now(UTC).date()
    for row in rows:
        models = "any model" if row.models == ("*",) else ", ".join(row.models)
        source = f"source: {row.source or 'not given'}, checked {row.checked}"
        if row.stale_at(today):
            source += ", which is long ago: compare it again"
        lines = (f"{models}; {_holds(row)}", *_further(row), row.note, source)
        told.setdefault("\n".join(f"  {line}" for line in lines if line), []).append(row.id)
    for text, names in told.items():
        output.print(f"\n{', '.join(names)}", style="dim")
        output.print(text, style="dim", whole=True)
    if any(row.id.startswith("brief/") for row in rows):
        output.print("\nbrief is the project's own yardstick for two modes at two prices, never an official table.")


def _further(row: Price) -> list[str]:
    """What else a row charges: longer prompts, tokens written to the cache, requests."""
    lines: list[str] = []
    for each in row.brackets:
        hit = "as miss" if each.cache_hit is None else f"{each.cache_hit:f}"
        lines.append(f"prompts above {each.above:,} tokens: {hit} / {each.cache_miss:f} / {each.completion:f}")
    if row.cache_write is not None:
        lines.append(f"tokens written to the cache: {row.cache_write:f}")
    if row.per_request:
        kinds = ", ".join(f"{kind} {price:f}" for kind, price in row.per_request.items())
        lines.append(f"per 1,000 requests: {kinds}")
    return lines


def _holds(row: Price) -> str:
    parts: list[str] = []
    if row.valid_from:
        parts.append(f"from {row.valid_from:%Y-%m-%d %H:%M}")
    if row.valid_to:
        parts.append(f"until {row.valid_to:%Y-%m-%d %H:%M}")
    if row.daily:
        parts.append(f"daily {row.daily[0]:%H:%M}-{row.daily[1]:%H:%M} {row.zone}")
    if row.weekdays:
        parts.append("on " + " ".join(DAYS[day] for day in sorted(row.weekdays)))
    if row.except_dates:
        parts.append("but on " + " ".join(f"{day:%Y-%m-%d}" for day in sorted(row.except_dates)))
    return " ".join(parts) or "no dates: holds whenever it is chosen"


def _counts(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[str, int]:
    """`KIND=N` as counts by kind."""
    found: dict[str, int] = {}
    for value in values:
        kind, _, count = value.partition("=")
        if not kind or not count.isdecimal():
            raise click.BadParameter(f"{value!r} is no count; write KIND=N, such as search=2", ctx, param)
        found[kind] = found.get(kind, 0) + int(count)
    return found


@command.command("explain", epilog=EXPLAIN_EPILOG)
@click.option(
    "--prompt", "prompt", type=click.IntRange(min=0), required=True, help="Prompt tokens, cached ones included."
)
@click.option("--cache-hit", type=click.IntRange(min=0), default=0, help="Prompt tokens read from the cache.")
@click.option("--completion", type=click.IntRange(min=0), required=True, help="Generated tokens, reasoning included.")
@click.option("--reasoning", type=click.IntRange(min=0), default=0, help="Generated tokens that are reasoning.")
@click.option(
    "--requests",
    "requests",
    metavar="KIND=N",
    multiple=True,
    callback=_counts,
    help="Requests, e.g. search=2; repeatable.",
)
@click.option("--ended", metavar="MOMENT", type=moment, help="When the request ended.  [default: at once]")
@_which
def explain(
    prompt: int,
    cache_hit: int,
    completion: int,
    reasoning: int,
    requests: dict[str, int],
    ended: datetime | None,
    which: PriceFilter,
    as_json: bool,
) -> None:
    """Work out what a usage costs, with the row and the arithmetic.

    Without --prices, the brief and the official prices of V3.1 are set side by side.
    """
    if cache_hit > prompt:
        raise click.BadParameter(f"{cache_hit} of {prompt} prompt tokens cannot be cached", param_hint="--cache-hit")
    if reasoning > completion:
        raise click.BadParameter(f"{reasoning} of {completion} tokens cannot be reasoning", param_hint="--reasoning")
    from deepthrift_pricing import Usage
    from deepthrift_router.cli._money.prices import PROFILES, price_book
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    usage = Usage.of(prompt, completion, cache_hit=cache_hit, reasoning=reasoning, requests=requests)
    when = which.at or datetime.now(UTC)
    names = [which.prices] if which.prices else ["builtin"] if which.host else PROFILES
    books: list[tuple[str, PriceBook]] = [(name, price_book(name)) for name in names]
    modes: tuple[Mode, ...] = (which.mode,) if which.mode else MODES
    found: list[tuple[str, Mode, PriceExplanation]] = [
        (
            name,
            each,
            book.explain(
                usage,
                host=which.host or _only(book, "host", "deepseek"),
                model=which.model or _only(book, "models", "deepseek-chat"),
                mode=each,
                started_at=when,
                ended_at=ended,
                currency=which.currency,
                tier=which.tier or "standard",
            ),
        )
        for name, book in books
        for each in modes
    ]
    if as_json:
        output.document([{"prices": name, "mode": each, **made.model_dump(mode="json")} for name, each, made in found])
        return
    told: dict[tuple[str, str], tuple[list[Mode], PriceExplanation]] = {}
    for name, each, made in found:
        told.setdefault((name, made.price.id), ([], made))[0].append(each)
    for position, ((name, _), (alike, made)) in enumerate(told.items()):
        if position:
            output.print()
        output.print(f"{name}, {' and '.join(alike)} mode: {made.cost}", style="bold")
        output.print(f"row {made.price.id}, {made.window}; {made.decision}", style="dim")
        for line in made.arithmetic[:-1]:
            output.print(f"  {line}")


def _only(book: PriceBook, field: Literal["host", "models"], usual: str) -> str:
    """The one host or model that every row of a book is for; `usual` where it has several, or is for any."""
    found = {name for row in book.rows for name in ((row.host,) if field == "host" else row.models)} - {"*"}
    return found.pop() if len(found) == 1 else usual
