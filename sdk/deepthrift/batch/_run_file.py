"""A batch from file to file: locked, checked, journalled, and gone on with where an earlier run ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from deepthrift._types.errors import BatchError
from deepthrift._util.private_files import private_descriptor
from deepthrift.batch._appender import Appender
from deepthrift.batch._input import Check, InputFile
from deepthrift.batch._journal import AT_A_TIME, JournalHeader, RowProgress, read_results, replay
from deepthrift.batch._lock import lock
from deepthrift.batch._progress import BatchSummary, OnProgress, Tally
from deepthrift.batch._result import BatchResult, lost_line, output_line
from deepthrift.batch._row import BatchRow
from deepthrift.batch._runner import RowSender, Runner
from deepthrift_pricing import Currency, Mode


class FilePair:
    """The out file and its journal, open and locked for this process; in `with`."""

    def __init__(self, source: Path, out: Path) -> None:
        self.source, self.out = source, out
        self.journal = out.with_name(f"{out.name}.journal")
        with contextlib.ExitStack() as opened:
            self.input = InputFile(source)
            opened.callback(self.input.close)
            if out.exists() and out.samefile(source):
                raise BatchError("the out file is the in file; name another")
            self.journal_file = _open(self.journal)
            opened.callback(os.close, self.journal_file)
            if not lock(self.journal_file):
                raise BatchError(f"another process is writing {str(out)!r}; wait for it, or name another out file")
            self.out_file = _open(out)
            opened.callback(os.close, self.out_file)
            if os.fstat(self.out_file).st_size and not os.fstat(self.journal_file).st_size:
                raise BatchError(
                    f"{str(out)!r} is there already and has no journal, so it was not written by a batch; name another "
                    "out file"
                )
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()


def _open(path: Path) -> int:
    try:
        return private_descriptor(path)
    except OSError as error:
        raise BatchError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error


class FileSink:
    """Writes results to the out file and what is begun to the journal, each before the next step is taken."""

    def __init__(self, out: Appender, journal: Appender, known: RowProgress, tally: Tally) -> None:
        self._out = out
        self._journal = journal
        self._known = known
        self._tally = tally

    async def started(self, row: BatchRow) -> None:
        """It is about to be sent."""
        await self._journal.append(b'{"started": %d}\n' % row.line)
        self._tally.running += 1

    async def unsent(self, row: BatchRow) -> None:
        """It was not sent after all."""
        self._tally.running -= 1
        await self._journal.append(b'{"unsent": %d}\n' % row.line)

    async def ended(self, result: BatchResult) -> None:
        """It has a result."""
        line, outcome = result.row.line, result.outcome
        self._tally.running -= 1
        await self._out.append(_json(output_line(result)))
        before = self._known.outcome(line)
        if before != "unsent":
            self._tally.undo(before)
        self._known.ended(line, outcome)
        self._tally.add(outcome, result.cost)
        self._tally.tell()

    async def lost(self, custom_id: str, line: int) -> None:
        """An earlier run began it, and nobody knows what came of it."""
        await self._out.append(_json(lost_line(custom_id, line)))
        before = self._known.outcome(line)
        if before != "unsent":
            self._tally.undo(before)
        self._known.ended(line, "unanswered")
        self._tally.earlier("unanswered", None)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"


async def run_file(
    pair: FilePair,
    sender: RowSender,
    check: Check,
    *,
    model: str,
    mode: Mode | None,
    routed: bool,
    currency: Currency,
    concurrency: int,
    retry_failed: bool,
    retry_unanswered: bool,
    on_progress: OnProgress | None,
    stop: Callable[[], bool] | None,
) -> BatchSummary:
    """Bring every row of the in file to a result in the out file.

    Raises:
        InvalidRequestError: A row is wrong; nothing was sent.
        BatchError: The files cannot be used, or belong to another batch.
    """
    scan = await pair.input.scan(check)
    head = JournalHeader(scan.sha256, scan.rows, scan.lines, model, mode, routed, currency)
    known, tally = RowProgress(scan.lines), Tally(scan.rows, on_progress)
    if not await replay(pair.journal_file, pair.journal, head, known, source=pair.source, out=pair.out):
        os.write(pair.journal_file, head.line())
        os.fsync(pair.journal_file)
    for number, (line, outcome, cost) in enumerate(read_results(pair.out_file, pair.out)):
        if not 0 < line <= scan.lines:
            raise BatchError(f"{str(pair.out)!r} has a result for line {line}, which {str(pair.source)!r} has not")
        before = known.outcome(line)
        if before != "unsent":
            tally.undo(before)
        known.ended(line, outcome)
        tally.earlier(outcome, cost)
        if number % AT_A_TIME == 0:
            await asyncio.sleep(0)

    journal = Appender(os.dup(pair.journal_file), pair.journal, os.fstat(pair.journal_file).st_size)
    out = Appender(os.dup(pair.out_file), pair.out, os.fstat(pair.out_file).st_size)
    try:
        sink = FileSink(out, journal, known, tally)
        runner = Runner(sender, sink, concurrency, stop)
        interrupted = set(known.interrupted_lines())
        for row in pair.input.rows(interrupted.__contains__) if interrupted else ():
            await sink.lost(row.custom_id, row.line)
        tally.tell()
        again = {"unsent", *(["failed"] if retry_failed else []), *(["unanswered"] if retry_unanswered else [])}
        await runner.run(_rows(pair.input, known, again))
    finally:
        try:
            await journal.aclose()
        finally:
            await out.aclose()
    return tally.summary(pair.out, runner.stopped)


def _rows(source: InputFile, known: RowProgress, again: set[str]) -> Iterator[BatchRow]:
    # Two bytes a line: what is wanted is decided once, or a row that fails would be wanted again.
    wanted = bytes(known.outcome(line) in again for line in range(len(known) + 1))
    return source.rows(lambda line: bool(wanted[line]))
