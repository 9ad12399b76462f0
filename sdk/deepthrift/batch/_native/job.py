"""The file that remembers a batch handed to a host: what was reserved for which row, and how far it got.

JSON Lines, only ever added to: a head, a line for each row, then what happened, in this order: `reserved`, `uploaded`,
`creating`, `created`, `booked`; or `abandoned`, after which all of it may begin anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, cast

from deepthrift._types.errors import BatchError
from deepthrift._util.private_files import private_descriptor
from deepthrift.batch._journal import whole_lines
from deepthrift.batch._lock import lock
from deepthrift_pricing import Certainty, Mode

VERSION: Final = 1
_EVENTS: Final = ("reserved", "uploaded", "creating", "created", "booked")


@dataclass(frozen=True, slots=True)
class JobRow:
    """A row as it was handed over."""

    line: int
    custom_id: str
    mode: Mode
    model: str
    prompt_tokens: int = 0
    """Prompt tokens as they were counted when it was submitted; 0 in a job of an earlier version."""
    least_prompt_tokens: int = 0
    """The fewest that a host could count, as far as the text tells."""
    prompt_certainty: Certainty = "estimated"


@dataclass(slots=True)
class JobState:
    """How far a job got."""

    head: Mapping[str, object] = field(default_factory=dict[str, object])
    rows: dict[str, JobRow] = field(default_factory=dict[str, JobRow])
    event: str = ""
    """The last thing that happened; empty before the reservations were complete."""
    file_id: str = ""
    batch_id: str = ""

    @property
    def id(self) -> str:
        """The job's own id."""
        return str(self.head.get("id", ""))

    def attempt_id(self, row: JobRow) -> str:
        """The ledger's id of the attempt that a row is booked as: always the same one."""
        return f"att-{self.id}-{row.line}"


class JobFile:
    """A job file, open and locked for this process; in `with`."""

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        try:
            self._descriptor = private_descriptor(path, create=create)
        except FileNotFoundError:
            raise BatchError(f"{str(path)!r} is not there: nothing was submitted for this out file") from None
        except OSError as error:
            raise BatchError(f"{str(path)!r} cannot be opened: {error.strerror or error}") from error
        try:
            if not lock(self._descriptor):
                raise BatchError(f"another process is using {str(path)!r}; wait for it")
            self.state = self._read()
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def _read(self) -> JobState:
        state = JobState()
        for offset, data, whole in whole_lines(self._descriptor):
            if not whole:
                os.ftruncate(self._descriptor, offset)
                break
            self._take(state, data)
        return state

    def _take(self, state: JobState, data: bytes) -> None:
        try:
            told = cast("Mapping[str, object]", json.loads(data))
            if "deepthrift_native" in told:
                if told["deepthrift_native"] != VERSION:
                    raise BatchError(f"{str(self.path)!r} was written by another version")
                state.head, state.rows, state.event, state.file_id, state.batch_id = told, {}, "", "", ""
            elif "row" in told:
                row = JobRow(
                    line=cast("int", told["row"]),
                    custom_id=str(told["custom_id"]),
                    mode=cast("Mode", told["mode"]),
                    model=str(told["model"]),
                    prompt_tokens=cast("int", told.get("prompt_tokens", 0)),
                    least_prompt_tokens=cast("int", told.get("least_prompt_tokens", 0)),
                    prompt_certainty=cast("Certainty", told.get("prompt_certainty", "estimated")),
                )
                state.rows[row.custom_id] = row
            else:
                state.event = str(told["event"])
                state.file_id = str(told.get("file_id", state.file_id))
                state.batch_id = str(told.get("batch_id", state.batch_id))
        except (ValueError, KeyError, TypeError) as error:
            raise BatchError(f"{str(self.path)!r} is damaged") from error

    def begin(self, head: Mapping[str, object]) -> None:
        """A new job in the file."""
        self._add([{"deepthrift_native": VERSION, **head}])

    def add_rows(self, rows: Iterable[JobRow]) -> None:
        """Rows that are about to be reserved."""
        self._add(
            {
                "row": row.line,
                "custom_id": row.custom_id,
                "mode": row.mode,
                "model": row.model,
                "prompt_tokens": row.prompt_tokens,
                "least_prompt_tokens": row.least_prompt_tokens,
                "prompt_certainty": row.prompt_certainty,
            }
            for row in rows
        )

    def note(self, event: str, **fields: str) -> None:
        """Something has happened, or is about to."""
        self._add([{"event": event, **fields}])

    def _add(self, entries: Iterable[Mapping[str, object]]) -> None:
        lines = [json.dumps(entry, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n" for entry in entries]
        view = memoryview(b"".join(lines))
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise BatchError(f"{str(self.path)!r} cannot be written: {error.strerror or error}") from error
        for line in lines:
            self._take(self.state, line)
