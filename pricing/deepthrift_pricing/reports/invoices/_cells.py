"""Rows of a table below its header: repeated headers and blank lines are skipped, shifted rows refused."""

from __future__ import annotations

from collections.abc import Iterator

from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing.reports.invoices._columns import Columns
from deepthrift_pricing.reports.invoices._files.table import Table
from deepthrift_pricing.reports.invoices._layouts import key_of


def data_rows(table: Table) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold something, each as long as the header.

    Raises:
        ConfigurationError: A row has more cells than the header, as where a comma in an amount is not quoted.
    """
    width = len(table.header)
    keys = [key_of(cell) for cell in table.header]
    for line, row in table.rows:
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if any(cells[width:]):
            raise ConfigurationError(
                f"{table.at(line)} has {len(row)} cells, and the header has {width}; quote what has a "
                f"{table.delimiter!r} in it"
            )
        cells = (cells + [""] * width)[:width]
        if key_of(cells[0]) == keys[0] and [key_of(cell) for cell in cells] == keys:
            continue
        yield line, cells


def others(cells: list[str], columns: Columns) -> list[str]:
    """The cells beside the amount and its currency."""
    return [cell for place, cell in enumerate(cells) if place not in (columns.amount, columns.currency)]
