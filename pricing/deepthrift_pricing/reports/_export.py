"""Attempts as files for other tools: CSV, JSON Lines, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

from deepthrift_pricing._ledger.ledger import Ledger
from deepthrift_pricing._values.attempt import Attempt
from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing._values.text_file import encoding_by_mark
from deepthrift_pricing.reports._cells import defuse, restore
from deepthrift_pricing.reports._parquet import write_parquet
from deepthrift_pricing.reports._rows import COLUMNS, COUNTS, TEXTS, Cell, flat

Format: TypeAlias = Literal["csv", "jsonl", "parquet"]
"""A file format that the ledger can be exported to."""


def export(
    ledger: Ledger,
    path: Path | str,
    *,
    format: Format | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    excel: bool = False,
) -> int:
    """Write attempts to a file, in the order in which they started; an existing file is replaced.

    In CSV, text that a spreadsheet would run as a formula gets an apostrophe in front; `read_export` removes it. In
    Parquet, amounts are decimals and moments are timestamps in UTC.

    Args:
        ledger: Where to read.
        path: The file to write.
        format: Left out, the ending of `path` says it.
        since: Attempts that started from this moment on.
        until: Attempts that started before this moment.
        excel: Begin a CSV file with a byte order mark, without which Excel shows names in other scripts wrong.

    Returns:
        How many attempts were written.

    Raises:
        ConfigurationError: The format is unknown, `excel` is wanted of a format other than CSV, or Parquet is wanted
            and `pyarrow` is not installed.
        OSError: The file cannot be written.
    """
    path = Path(path)
    chosen = format or path.suffix.removeprefix(".").lower()
    if excel and chosen != "csv":
        raise ConfigurationError(f"Excel's form is one of CSV; export to a .csv file, not to {chosen or path.name!r}")
    attempts = ledger.iter_attempts(since=since, until=until)
    if chosen == "csv":
        return _write_csv(path, attempts, "utf-8-sig" if excel else "utf-8")
    if chosen == "jsonl":
        return _write_lines(path, attempts)
    if chosen == "parquet":
        return write_parquet(path, attempts)
    raise ConfigurationError(f"{chosen!r} is no format to export to: use csv, jsonl or parquet")


def read_export(path: Path | str) -> Iterator[dict[str, Cell]]:
    """The rows of a CSV or JSON Lines file that `export` wrote, with every text as it was.

    Raises:
        ConfigurationError: The file is not such an export.
        OSError: The file cannot be read.
    """
    path = Path(path)
    with path.open("rb") as data:
        encoding = encoding_by_mark(data.read(4)) or "utf-8"
    with path.open(encoding=encoding, newline="") as file:
        if path.suffix.lower() == ".jsonl":
            yield from (json.loads(line) for line in file)
            return
        reader = csv.DictReader(file, strict=True)
        if not set(COLUMNS) <= set(reader.fieldnames or ()):
            raise ConfigurationError(f"{str(path)!r} is not an export of a ledger: it lacks columns of one")
        for row in reader:
            yield {name: _cell(name, row[name]) for name in COLUMNS}


def _cell(name: str, text: str | None) -> Cell:
    if not text:
        return None
    if name in COUNTS:
        return int(text)
    return restore(text) if name in TEXTS else text


def _write_csv(path: Path, attempts: Iterable[Attempt], encoding: str) -> int:
    count = 0
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for attempt in attempts:
            cells = flat(attempt).items()
            writer.writerow(defuse(cell) if name in TEXTS and isinstance(cell, str) else cell for name, cell in cells)
            count += 1
    return count


def _write_lines(path: Path, attempts: Iterable[Attempt]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for attempt in attempts:
            count += 1
            file.write(f"{json.dumps(flat(attempt), ensure_ascii=False)}\n")
    return count
