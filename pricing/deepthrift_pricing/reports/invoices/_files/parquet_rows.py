"""The rows of a Parquet file as text, so that they are read like those of a CSV file."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Protocol, cast

from deepthrift_pricing._values.errors import ConfigurationError


class _Batch(Protocol):
    def to_pylist(self) -> list[dict[str, object]]: ...


class _File(Protocol):
    schema_arrow: object

    def iter_batches(self, batch_size: int) -> Iterator[_Batch]: ...


def parquet_rows(data: bytes, name: str) -> Iterator[list[str]]:
    """The header, then every row.

    Raises:
        ConfigurationError: `pyarrow` is not installed, or the file is damaged.
    """
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigurationError(
            f"{name or 'the invoice'} is a Parquet file, which needs pyarrow: pip install 'deepthrift[report]'"
        ) from None
    try:
        file = cast("_File", parquet.ParquetFile(io.BytesIO(data)))
        header = cast("list[str]", getattr(file.schema_arrow, "names"))  # noqa: B009  # pyarrow has no types
        yield header
        for batch in file.iter_batches(batch_size=4096):
            for row in batch.to_pylist():
                yield [_text(row[column]) for column in header]
    except (OSError, ValueError, KeyError) as error:  # pyarrow's errors are of these classes
        raise ConfigurationError(f"{name or 'the invoice'} is a damaged Parquet file: {error}") from None


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
