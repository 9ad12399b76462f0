"""A batch from a list: results in the order of the rows, nothing written down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import cast

from deepthrift._types.messages import JSONObject
from deepthrift.batch._input import Check
from deepthrift.batch._result import BatchResult
from deepthrift.batch._row import BatchRow, distinct_rows, parse_row
from deepthrift.batch._runner import RowSender, Runner


def checked_rows(values: Iterable[BatchRow | JSONObject | str], check: Check) -> list[BatchRow]:
    """The rows, each of which can be sent.

    Raises:
        InvalidRequestError: One cannot, or two share a custom_id; the message says which.
    """
    return distinct_rows(enumerate(values, 1), _row, "row", "custom_id", check)


def _row(value: object, place: int) -> BatchRow:
    if isinstance(value, BatchRow):
        return value
    if isinstance(value, str):
        return BatchRow(custom_id=str(place), messages=value, line=place)
    return parse_row(cast("Mapping[str, object]", value), place)


class ListSink:
    """Keeps results by the place of their rows."""

    def __init__(self, rows: list[BatchRow], on_result: Callable[[BatchResult], object] | None) -> None:
        self._places = {row.custom_id: place for place, row in enumerate(rows)}
        self.results: list[BatchResult] = [BatchResult(row=row) for row in rows]
        self._on_result = on_result

    async def started(self, row: BatchRow) -> None:
        """It is about to be sent."""

    async def unsent(self, row: BatchRow) -> None:
        """It was not sent after all."""

    async def ended(self, result: BatchResult) -> None:
        """It has a result."""
        self.results[self._places[result.row.custom_id]] = result
        if self._on_result is not None:
            self._on_result(result)


async def run_rows(
    rows: list[BatchRow], sender: RowSender, *, concurrency: int, on_result: Callable[[BatchResult], object] | None
) -> list[BatchResult]:
    """A result for each row, in their order; those that were not begun carry the error that stopped the batch."""
    sink = ListSink(rows, on_result)
    runner = Runner(sender, sink, concurrency)
    await runner.run(iter(rows))
    if runner.stopped is None:
        return sink.results
    return [
        BatchResult(row=each.row, error=runner.stopped, sent=False)
        if each.reply is None and each.error is None
        else each
        for each in sink.results
    ]
