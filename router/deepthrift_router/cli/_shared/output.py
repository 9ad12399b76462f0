"""Where text goes: results to standard output, progress and notes to standard error, never mixed."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import cast

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from deepthrift_pricing import Money
from deepthrift_router.cli._answers.text import clean, hanging


class Output:
    """The two consoles of a command. With `as_json`, standard output carries JSON and nothing else."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        # rich would make a sign of `:key:`, and an answer is shown as it is.
        self.out = Console(file=sys.stdout, highlight=False, soft_wrap=False, emoji=False)
        self.err = Console(file=sys.stderr, highlight=False, soft_wrap=False, emoji=False)

    def document(self, value: object) -> None:
        """Write `value` as one indented JSON document."""
        write_json(plain(value), indent=2)

    def line(self, value: object) -> None:
        """Write `value` as one line of JSON."""
        write_json(plain(value))

    def answer(self, text: str) -> None:
        """Write a whole answer: to a pipe exactly as it is, to a terminal without control characters."""
        if self.out.is_terminal:
            self.out.print(clean(text.strip()), markup=False)
        else:
            self.out.file.write(text if text.endswith("\n") else f"{text}\n")

    def print(self, text: object = "", *, style: str | None = None, whole: bool = False) -> None:
        """Print a result for people, without markup. `whole` lines, such as commands and paths, are never broken.

        On a terminal, an indented line that is too long goes on below, further in; anywhere else it stays one line.
        """
        if isinstance(text, Table):
            self.out.print(text)
            return
        whole = whole or not self.out.is_terminal
        if isinstance(text, str) and text.startswith(" ") and not whole:
            text, whole = hanging(text, self.out), True
        self.out.print(text, style=style, markup=False, soft_wrap=whole)

    def note(self, text: str, *, style: str = "dim") -> None:
        """Say something beside the result, on standard error."""
        self.err.print(text, style=style, markup=False, soft_wrap=not self.err.is_terminal)

    @contextmanager
    def working(self, text: str, *, elsewhere: bool = True) -> Generator[None]:
        """Show that something longer is under way: a spinner on a terminal, one line `elsewhere`."""
        if self.err.is_terminal:
            with self.err.status(text, spinner="dots"):
                yield
        else:
            if elsewhere:
                self.note(f"{text}…")
            yield


def write_json(value: object, *, indent: int | None = None) -> None:
    """Write JSON types to standard output, as ASCII where its encoding has no other letters."""
    as_ascii = (sys.stdout.encoding or "utf-8").replace("-", "").lower() != "utf8"
    sys.stdout.write(json.dumps(value, ensure_ascii=as_ascii, indent=indent) + "\n")
    sys.stdout.flush()


def plain(value: object) -> object:
    """`value` as JSON types: models by their own rules, exact decimals as text, moments in ISO 8601."""
    match value:
        case BaseModel():
            return value.model_dump(mode="json")
        case Money():
            return {"amount": f"{value.amount:f}", "currency": value.currency}
        case Mapping():
            return {str(key): plain(item) for key, item in cast("Mapping[object, object]", value).items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in cast("Iterable[object]", value)]
        case datetime():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case Path():
            return str(value)
        case _:
            return value


def table(*columns: str, right: tuple[str, ...] = (), title: str | None = None) -> Table:
    """A plain table that stays readable without colour and at 80 columns."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        number = column in right
        made.add_column(column, justify="right" if number else "left", overflow="fold", no_wrap=number)
    return made
