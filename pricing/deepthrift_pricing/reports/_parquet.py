"""Attempts as a Parquet file, with columns that databases can add up and truncate."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from deepthrift_pricing._values.attempt import Attempt
from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing.reports._rows import AMOUNTS, COLUMNS, COUNTS, MOMENTS, TypedCell, typed

_AT_ONCE: Final = 20_000
"""Rows of a row group."""


class _Table(Protocol):
    def from_pylist(self, rows: list[dict[str, TypedCell]], schema: object) -> object: ...


def write_parquet(path: Path, attempts: Iterable[Attempt]) -> int:
    """Amounts as `decimal128(38, 12)`, moments as `timestamp(us, UTC)`, tokens as `int64`, the rest as text.

    Raises:
        ConfigurationError: `pyarrow` is not installed.
    """
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigurationError("pyarrow is not installed: pip install 'deepthrift[report]'") from error
    kinds = {
        **dict.fromkeys(AMOUNTS, arrow.decimal128(38, 12)),
        **dict.fromkeys(MOMENTS, arrow.timestamp("us", tz="UTC")),
        **dict.fromkeys(COUNTS, arrow.int64()),
    }
    schema = arrow.schema([(name, kinds.get(name, arrow.string())) for name in COLUMNS])
    table: _Table = arrow.Table
    written = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for rows in _groups(typed(attempt) for attempt in attempts):
            writer.write_table(table.from_pylist(rows, schema))
            written += len(rows)
    return written


def _groups(rows: Iterator[dict[str, TypedCell]]) -> Iterator[list[dict[str, TypedCell]]]:
    while group := list(islice(rows, _AT_ONCE)):
        yield group
