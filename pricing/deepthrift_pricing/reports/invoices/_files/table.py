"""A table: its separator, its header, which may stand below other lines, and its rows with their lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing.reports.invoices._files.decode import decode
from deepthrift_pricing.reports.invoices._files.parquet_rows import parquet_rows
from deepthrift_pricing.reports.invoices._files.unpack import Source

MOST_ROWS: Final = 10_000_000
_DELIMITERS: Final = (",", ";", "\t", "|")
_ABOVE: Final = 100
"""Rows in which a header is looked for."""

Row = tuple[int, list[str]]
"""The line on which a row begins, and its cells."""
Judge = Callable[[list[str]], int]
"""How much a row looks like a header; 0 is not at all."""


@dataclass(frozen=True, slots=True)
class Table:
    """The rows below a header."""

    name: str
    delimiter: str
    """Empty for a table that is no text."""
    header: list[str]
    rows: Iterator[Row]
    guessed: str | None = None
    """The encoding, where it had to be guessed."""

    def at(self, line: int) -> str:
        """A line as errors name it."""
        return f"{self.name}, line {line}" if self.name else f"line {line}"


def read_table(source: Source, judge: Judge) -> Table:
    """The table in a file.

    Raises:
        ConfigurationError: The file is empty, or is no table with a header that `judge` knows.
    """
    if source.parquet:
        rows = parquet_rows(source.data, source.name)
        header = next(rows)
        if not judge(header):
            raise _no_header(source, header)
        return Table(source.name, "", header, _numbered(rows))
    text, guessed = decode(source.data, source.name or "the invoice")
    content = text.replace("\0", " ").lstrip()
    if not content:
        raise ConfigurationError(f"{source.name or 'the invoice'} is empty")
    if content[0] in "{[<":
        raise ConfigurationError(
            f"{source.name or 'the invoice'} is JSON, XML or a web page; download the invoice or the usage as CSV"
        )
    best: tuple[int, int, str, int] | None = None
    nearest: list[str] = []
    for delimiter in _delimiters(text):
        for number, row in enumerate(_preview(text, delimiter)):
            rank = judge(row)
            nearest = max(nearest, row, key=lambda cells: sum(map(bool, cells)))
            width = sum(map(bool, row))
            if rank and (best is None or (rank, width) > best[:2]):
                best = (rank, width, delimiter, number)
    if best is None:
        raise _no_header(source, nearest)
    _, _, delimiter, number = best
    table = _rows(text, delimiter, source)
    header = next(islice(table, number, None))[1]
    return Table(source.name, delimiter, header, table, guessed)


def _no_header(source: Source, header: list[str]) -> ConfigurationError:
    known = ", ".join(cell.strip() for cell in header if cell.strip())[:300] or "none"
    where = source.name or "the invoice"
    return ConfigurationError(f"{where} has no column of amounts that is known; name it (its columns: {known})")


def _delimiters(text: str) -> tuple[str, ...]:
    first = text.lstrip("\ufeff").split("\n", 1)[0].strip().strip('"')
    if first.lower().startswith("sep=") and len(first) == 5:  # Excel writes it, and reads it
        return (first[4],)
    return _DELIMITERS


def _preview(text: str, delimiter: str) -> list[list[str]]:
    found: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in islice(reader, _ABOVE):
            found.append(row)  # noqa: PERF402  # what was read before an error counts
    except csv.Error:
        pass
    return found


def _rows(text: str, delimiter: str, source: Source) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 0
    try:
        for number, row in enumerate(reader):
            if number > MOST_ROWS:
                raise ConfigurationError(f"{source.name or 'the invoice'} has more than {MOST_ROWS:,} rows; split it")
            yield line + 1, row
            line = reader.line_num
    except csv.Error as error:
        where = f"{source.name}, line {line + 1}" if source.name else f"line {line + 1}"
        raise ConfigurationError(f"{where} cannot be read: {error}; is a quotation mark missing?") from None


def _numbered(rows: Iterator[list[str]]) -> Iterator[Row]:
    for number, row in enumerate(rows, 2):
        if number > MOST_ROWS:
            raise ConfigurationError(f"the invoice has more than {MOST_ROWS:,} rows; split it")
        yield number, row
