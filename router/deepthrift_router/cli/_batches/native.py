"""The host's own batch service on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepthrift_router.cli._batches.run import summary_code, summary_document, summary_line
from deepthrift_router.cli._shared.connect import Place, connect

if TYPE_CHECKING:
    from deepthrift.batch import NativeBatch
    from deepthrift_pricing import Mode
    from deepthrift_router.cli._shared.output import Output


async def submit(source: Path, out: Path, place: Place, output: Output, mode: Mode | None) -> None:
    """`deepthrift batch submit`."""
    async with connect(place, output) as client:
        with output.working("submitting", elsewhere=False):
            batch = await client.batch_submit(source, out, mode=mode)
    _show(batch, output)


async def status(out: Path, place: Place, output: Output) -> None:
    """`deepthrift batch status`."""
    async with connect(place, output) as client:
        _show(await client.batch_status(out), output)


async def cancel(out: Path, place: Place, output: Output) -> None:
    """`deepthrift batch cancel`."""
    async with connect(place, output) as client:
        _show(await client.batch_cancel(out), output)


async def fetch(out: Path, place: Place, output: Output, *, wait: bool, poll: float) -> int:
    """`deepthrift batch fetch`; returns the exit code."""
    told: set[str] = set()

    def tell(batch: NativeBatch) -> None:
        line = native_line(batch)
        if line not in told:
            told.add(line)
            output.note(line)

    async with connect(place, output) as client:
        with output.working("fetching", elsewhere=False):
            summary = await client.batch_fetch(out, wait=wait, poll=poll, on_status=tell)
    code = summary_code(summary, interrupted=False)
    if output.as_json:
        output.document(summary_document(summary, code))
    else:
        output.print(summary_line(summary), whole=True)
    return code


def _show(batch: NativeBatch, output: Output) -> None:
    if output.as_json:
        output.document(batch)
        return
    output.print(native_line(batch), whole=True)
    for problem in batch.problems:
        output.note(problem)


def native_line(batch: NativeBatch) -> str:
    """`batch_abc: in progress, 120 of 1,000 answered, 2 failed`."""
    counts = batch.counts
    failed = f", {counts.failed:,} failed" if counts.failed else ""
    return f"{batch.id}: {batch.state.replace('_', ' ')}, {counts.completed:,} of {counts.total:,} answered{failed}"
