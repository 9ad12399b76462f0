"""What was begun and what came of it, as the out file and the journal beside it tell.

The journal is JSON Lines: a head with the SHA-256 of the in file, then `{"started": LINE}` before a row is sent and
`{"unsent": LINE}` when it turned out that nothing was. A row that was started more often than it came to a result was
interrupted: it may be billed, and nobody has its answer.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from deepthrift._types.errors import BatchError
from deepthrift.batch._result import Outcome, outcome_in
from deepthrift_pricing import Money

VERSION: Final = 1
_CODES: Final[tuple[Outcome, ...]] = ("unsent", "answered", "failed", "unanswered")
_BLOCK: Final = 2**20
AT_A_TIME: Final = 200
"""Lines between two looks at what else the event loop has to do."""


@dataclass(frozen=True, slots=True)
class JournalHeader:
    """What a batch is of. Another run of it has to be of the same."""

    sha256: str
    rows: int
    lines: int
    model: str
    mode: str | None
    routed: bool
    currency: str

    def line(self) -> bytes:
        """The first line of a journal."""
        told = {
            "deepthrift_batch": VERSION,
            "sha256": self.sha256,
            "rows": self.rows,
            "lines": self.lines,
            "model": self.model,
            "mode": self.mode,
            "routed": self.routed,
            "currency": self.currency,
        }
        return json.dumps(told).encode() + b"\n"

    def check(self, told: Mapping[str, object], source: Path, out: Path) -> None:
        """Nothing, if a journal that begins with `told` belongs to this batch.

        Raises:
            BatchError: It does not.
        """
        if told.get("deepthrift_batch") != VERSION:
            raise BatchError(f"the journal of {str(out)!r} was written by another version; name another out file")
        if told.get("sha256") != self.sha256:
            raise BatchError(
                f"{str(source)!r} is not what {str(out)!r} was begun with; put the old file back, or name another out "
                "file"
            )
        for name in ("model", "mode", "routed", "currency"):
            now = getattr(self, name)
            if told.get(name) != now:
                raise BatchError(
                    f"{str(out)!r} was begun with {name}={told.get(name)!r}, and now it is {now!r}; run it as it was "
                    "begun, or name another out file"
                )


class RowProgress:
    """What is known of each line of the in file, two bytes a line."""

    def __init__(self, lines: int) -> None:
        self._begun = bytearray(lines + 1)
        self._outcomes = bytearray(lines + 1)

    def __len__(self) -> int:
        return len(self._begun) - 1

    def started(self, line: int) -> None:
        """It is about to be sent."""
        self._begun[line] = min(255, self._begun[line] + 1)

    def unsent(self, line: int) -> None:
        """It was not sent after all."""
        self._begun[line] = max(0, self._begun[line] - 1)

    def ended(self, line: int, outcome: Outcome) -> None:
        """It has a result."""
        self.unsent(line)
        self._outcomes[line] = _CODES.index(outcome)

    def outcome(self, line: int) -> Outcome:
        """Its last result; `unsent` without one."""
        return _CODES[self._outcomes[line]]

    def interrupted(self, line: int) -> bool:
        """Whether it was begun, and what came of it is not known."""
        return self._begun[line] > 0

    def interrupted_lines(self) -> list[int]:
        """All of these."""
        return [line for line in range(1, len(self._begun)) if self._begun[line]]


def whole_lines(descriptor: int) -> Iterator[tuple[int, bytes, bool]]:
    """Each line of a file with its offset, and whether it is whole: only the last may lack its line feed."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    offset, rest = 0, b""
    while block := os.read(descriptor, _BLOCK):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield offset, line, True
            offset += len(line) + 1
    if rest:
        yield offset, rest, False


async def replay(
    descriptor: int, path: Path, head: JournalHeader, known: RowProgress, *, source: Path, out: Path
) -> bool:
    """Take the entries of a journal into `known`; `False` when it has not even a head.

    A torn last line is cut off: what it announced was not begun.

    Raises:
        BatchError: It is damaged, or of another batch.
    """
    begun = False
    for number, (offset, data, whole) in enumerate(whole_lines(descriptor)):
        if number % AT_A_TIME == 0:
            await asyncio.sleep(0)
        if not whole:
            os.ftruncate(descriptor, offset)
            break
        told = _object(data)
        if not begun and told is not None:
            head.check(told, source, out)
            begun = True
            continue
        [(event, line)] = told.items() if told is not None and len(told) == 1 else [("", 0)]
        if event not in ("started", "unsent") or not isinstance(line, int) or not 0 < line <= len(known):
            raise BatchError(f"the journal {str(path)!r} is damaged; name another out file")
        if event == "started":
            known.started(line)
        else:
            known.unsent(line)
    return begun


def read_results(descriptor: int, path: Path) -> Iterator[tuple[int, Outcome, Money | None]]:
    """Line, outcome and cost of each result in an out file; a torn last line is completed, or else cut off.

    Raises:
        BatchError: A line is damaged, or not one that a batch has written.
    """
    for number, (offset, data, whole) in enumerate(whole_lines(descriptor), 1):
        told = _object(data)
        found = None if told is None else outcome_in(told)
        if not whole:
            if found is None:
                os.ftruncate(descriptor, offset)
                return
            os.lseek(descriptor, 0, os.SEEK_END)
            os.write(descriptor, b"\n")
        if found is None:
            raise BatchError(f"line {number} of {str(path)!r} is damaged, or was not written by a batch")
        yield found


def _object(data: bytes) -> Mapping[str, object] | None:
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else None
