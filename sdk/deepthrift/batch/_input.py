"""The in file: checked as a whole before anything is sent, then read again row by row, never held in memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from deepthrift._types.errors import BatchError, InvalidRequestError
from deepthrift.batch._row import BatchRow, parse_line
from deepthrift_pricing.shared.files import encoding_by_mark

_MOST_PROBLEMS: Final = 20
_AT_A_TIME: Final = 100
"""Rows between two looks at what else the event loop has to do."""

Check = Callable[[BatchRow], object]


@dataclass(frozen=True, slots=True)
class Scan:
    """What a pass over the file found."""

    lines: int
    rows: int
    sha256: str


class InputFile:
    """A file of rows, one JSON object a line; blank lines are skipped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise BatchError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
        if not self._file.seekable():
            self._file.close()
            raise BatchError(f"{str(path)!r} is a pipe, and a batch reads its rows twice; write them to a file first")
        self._state = self._now()

    def _now(self) -> tuple[int, int]:
        state = os.fstat(self._file.fileno())
        return state.st_size, state.st_mtime_ns

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        self._file.seek(0)
        for number, data in enumerate(self._file, 1):
            if self._now() != self._state:
                raise BatchError(
                    f"{str(self.path)!r} changed while it was read; leave it alone until the batch is done"
                )
            if number == 1 and encoding_by_mark(data) not in (None, "utf-8-sig"):
                raise InvalidRequestError(
                    f"{str(self.path)!r} is not UTF-8, as its byte order mark says; save it as UTF-8 "
                    "(in PowerShell: Out-File -Encoding utf8)"
                )
            # Windows programs begin a file with the mark, and joined files have one in the middle.
            yield number, data.removeprefix(BOM_UTF8)

    async def scan(self, check: Check) -> Scan:
        """Read and check every row; `check` raises an `InvalidRequestError` for one that cannot be sent.

        Raises:
            InvalidRequestError: Rows are wrong, or share a custom_id; the message has their line numbers.
        """
        digest = hashlib.sha256()
        ids: set[bytes] = set()
        problems: list[str] = []
        wrong = rows = number = 0
        for number, data in self._lines():
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
            digest.update(data)
            if not data.strip():
                continue
            rows += 1
            try:
                row = parse_line(data, number)
                key = hashlib.blake2b(row.custom_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
                if key in ids:
                    raise InvalidRequestError(f"the custom_id {row.custom_id!r} is that of an earlier row")
                ids.add(key)
                check(row)
            except InvalidRequestError as error:
                wrong += 1
                if wrong <= _MOST_PROBLEMS:
                    problems.append(f"line {number}: {error.message}")
        if wrong:
            more = f"\n  and {wrong - _MOST_PROBLEMS:,} more" if wrong > _MOST_PROBLEMS else ""
            raise InvalidRequestError(
                f"{wrong:,} of {rows:,} rows of {str(self.path)!r} cannot be sent, so nothing was:\n  "
                + "\n  ".join(problems)
                + more
            )
        if not rows:
            raise InvalidRequestError(f"{str(self.path)!r} has no rows")
        return Scan(number, rows, digest.hexdigest())

    def rows(self, wanted: Callable[[int], bool]) -> Iterator[BatchRow]:
        """The rows in whose lines `wanted` is interested, in order.

        Raises:
            BatchError: The file changed since it was opened.
        """
        for number, data in self._lines():
            if wanted(number) and data.strip():
                yield parse_line(data, number)
