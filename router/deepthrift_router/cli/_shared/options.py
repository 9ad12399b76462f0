"""Options that several commands share."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast, get_args

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from deepthrift import Message
    from deepthrift_pricing import Per

Decorated = TypeVar("Decorated", bound=Callable[..., object])

_TOO_LARGE = 10**15
_SPANS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def json_option(function: Decorated) -> Decorated:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON to standard output, and nothing else.")(
        function
    )


WindowName: TypeAlias = Literal["call", "answer", "hour", "day", "week", "month", "total"]

LedgerPlace: TypeAlias = Path | str
"""A SQLite file, or the URL of a database that a fleet shares."""


def ledger_place(text: str) -> LedgerPlace:
    """The place of a ledger, as the command line and the environment name it."""
    if "://" in text:
        return text
    place = Path(text)
    if place.is_dir():
        raise click.BadParameter(f"{text!r} is a folder; name a file in it")
    return place


def ledger_option(function: Decorated) -> Decorated:
    """Add `--ledger`."""
    return click.option(
        "--ledger",
        metavar="FILE|URL",
        type=ledger_place,
        envvar="DEEPTHRIFT_LEDGER",
        help="The ledger: a SQLite file, or postgresql://….  [default: spend.db in the data directory]",
    )(function)


def _span(text: str) -> timedelta | None:
    """A span of time that text names, or `None`."""
    if text[-1:] not in _SPANS or not text[:-1].isdecimal():
        return None
    try:
        return int(text[:-1]) * _SPANS[text[-1]]
    except (ValueError, OverflowError):
        return None


def span(text: str) -> timedelta:
    """A span of time, longer than none: `90m`, `24h`, `7d`, `2w`."""
    found = _span(text)
    if not found:
        raise click.BadParameter(f"{text!r} is not a span of time; write 90m, 24h, 7d or 2w")
    return found


def window(text: str) -> Per:
    """The window of a budget: by its name, or a rolling span such as `90m`, `24h`, `7d`, `2w`."""
    if text in get_args(WindowName):
        return cast("WindowName", text)
    if found := _span(text):
        return found
    names = ", ".join(get_args(WindowName))
    raise click.BadParameter(f"{text!r} is none of {names}, and no span such as 24h or 7d", param_hint="--per")


def moment(text: str, zone: tzinfo = UTC) -> datetime:
    """A moment: ISO 8601, a date, `now`, `today`, or a span back from now: `90m`, `24h`, `7d`, `2w`.

    What names no zone is in `zone`.
    """
    text = text.strip()
    now = datetime.now(UTC)
    if text == "now":
        return now
    if text == "today":
        return now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        if (back := _span(text)) is not None:
            return now - back
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is not a moment; write 2025-09-05T16:00Z, 2025-09-05, today, 24h or 7d"
        ) from None


def number(text: str) -> Decimal:
    """A number from 0, exactly as written."""
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise click.BadParameter(f"{text!r} is not a number") from None
    if not found.is_finite() or not 0 <= found < _TOO_LARGE:
        raise click.BadParameter(f"{text!r} is not a number from 0 to {_TOO_LARGE:,}")
    return found


def standard_input() -> str:
    """Standard input to its end, with the line ends that it has."""
    stream = sys.stdin
    if isinstance(stream, io.TextIOWrapper):
        cast("io.TextIOWrapper[io.BufferedReader]", stream).reconfigure(newline="")
    return stream.read()


def asked(question: str, system: str | None) -> list[Message]:
    """The messages of one question; `-` reads it from standard input.

    Raises:
        click.UsageError: The question is empty.
    """
    if question == "-":
        question = standard_input().removeprefix("\ufeff")
    if not question.strip():
        raise click.UsageError("the question is empty")
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    return [*messages, {"role": "user", "content": question}]


def _twice_at_most(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    if len(values) > 2:
        raise click.UsageError(f"{parameter.opts[0]} is given once or twice, not {len(values)} times")
    return values


def cross_check_option(function: Decorated) -> Decorated:
    """`--cross-check MODEL`, once or twice, as `cross_checks`."""
    return click.option(
        "--cross-check",
        "cross_checks",
        multiple=True,
        metavar="MODEL",
        callback=_twice_at_most,
        help="Recorded model that checks; twice at most.",
    )(function)


def unprotected_code_option(function: Decorated) -> Decorated:
    """`--run-code-unprotected`, as `unprotected`: code of a model runs where it cannot be isolated, too."""
    return click.option(
        "--run-code-unprotected",
        "unprotected",
        is_flag=True,
        help="Run code of answers with all your rights where it cannot be isolated; without this, it is refused.",
    )(function)


def said(*but: str) -> list[str]:
    """The options that were written on the command line, but for those of these names: `--by`, `--since`."""
    ctx = click.get_current_context()
    return [
        each.opts[0]
        for each in ctx.command.params
        if isinstance(each, click.Option)
        and each.name not in but
        and ctx.get_parameter_source(each.name) is ParameterSource.COMMANDLINE
    ]


def stands_alone(ctx: click.Context) -> None:
    """Refuse what was said in front of a command of a group: nobody would read it there.

    Raises:
        click.UsageError: An option stands there.
    """
    if ctx.invoked_subcommand is not None and (options := said()):
        raise click.UsageError(
            f"{options[0]} stands in front of {ctx.invoked_subcommand}, where nothing reads it; write it after"
        )


def needs_terminal(question: str, instead: str) -> None:
    """Refuse to ask where nobody can answer.

    Raises:
        click.UsageError: Standard input is no terminal; `instead` is the option that answers.
    """
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} cannot be asked without a terminal; answer with {instead}")


@dataclass(frozen=True)
class EndpointOptions:
    """What the user said on the command line about where to ask; `None` means: not said."""

    url: str | None = None
    host: str | None = None
    model: str | None = None
    api_key_env: str | None = None
    ask_key: bool = False
    local: bool = False
    prices: str | None = None
    ledger: LedgerPlace | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


def _tags(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for value in values:
        name, equals, content = value.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE", ctx, param)
        tags[name] = content
    return tags


def tags_option(help_text: str) -> Callable[[Decorated], Decorated]:
    """Add `--tag NAME=VALUE`, which gives the command a mapping `tags`."""
    return click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", callback=_tags, help=help_text)


_ENDPOINT = (
    click.option(
        "--url", metavar="URL", help="Base URL of an OpenAI-compatible endpoint, e.g. http://gpu-box:8000/v1."
    ),
    click.option(
        "--host",
        metavar="NAME|FILE",
        help="Host profile, such as vllm or novita, or the TOML file of one.  [default: told from the URL]",
    ),
    click.option(
        "--model", metavar="NAME", help="Model name; without --url, a local model or the path of a GGUF file."
    ),
    click.option("--local", is_flag=True, help="Use the embedded engine, whatever the environment says."),
    click.option("--api-key-env", metavar="VAR", help="Environment variable that holds the key."),
    click.option("--ask-key", is_flag=True, help="Prompt for the key, without showing it."),
    click.option(
        "--prices",
        metavar="NAME|FILE",
        envvar="DEEPTHRIFT_PRICES",
        help="brief, official-2025-09-05, official-2025-09-29, or a TOML file.",
    ),
    tags_option("Tag the spend; may be repeated."),
    ledger_option,
)


def endpoint_options(function: Callable[..., object]) -> Callable[..., object]:
    """Add the options that choose an endpoint; the command gets them as one `endpoint: EndpointOptions`."""

    @functools.wraps(function)
    def packed(**values: Any) -> object:
        names = EndpointOptions.__dataclass_fields__
        chosen = EndpointOptions(**{name: values.pop(name) for name in names})
        return function(endpoint=chosen, **values)

    decorated: Callable[..., object] = packed
    for option in reversed(_ENDPOINT):
        decorated = option(decorated)
    return decorated
