"""What a host's batch came to: each row settled once, and its line of the out file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, cast

from deepthrift._books import cost_of
from deepthrift._core import Core
from deepthrift._wire.answer import Accumulator, Answer
from deepthrift._wire.chunk import parse_chunk
from deepthrift.batch._native_job import JobFile, JobRow
from deepthrift.batch._native_wire import NativeBatch
from deepthrift.batch._progress import Tally
from deepthrift.batch._result import Outcome
from deepthrift.errors import BatchError, DeepthriftError, MalformedResponse
from deepthrift.hosts import BatchRules
from deepthrift_pricing import Attempt, Mode, Money, new_id, utc_now
from deepthrift_pricing import parse_usage as read_usage

_AT_A_TIME: Final = 50


@dataclass(frozen=True, slots=True)
class _Booked:
    """A row as it was booked."""

    outcome: Outcome
    cost: Money
    certainty: str
    mode: Mode
    warnings: tuple[str, ...] = ()


async def write_results(
    core: Core, job: JobFile, batch: NativeBatch, parts: list[Path], file: BinaryIO, tally: Tally
) -> None:
    """Book every row of a batch that has ended, and write its line; what was booked before stays as it was."""
    missing = dict(job.state.rows)
    ended_at = utc_now()

    def answered(some: Sequence[Mapping[str, object]]) -> None:
        for told in some:
            row = missing.pop(str(told.get("custom_id")), None)
            if row is None:  # not ours, or told twice
                continue
            booked = _book(core, job, row, told, ended_at)
            tally.add(booked.outcome, booked.cost)
            file.write(_line(job, row, booked, told))

    def unanswered(some: Sequence[JobRow]) -> None:
        # Neither answered nor refused: a host that says that it is through with the file may have billed it.
        unbilled = batch.state in ("failed", "expired", "cancelled")
        reason = "; ".join(batch.problems) or f"the host's batch is {batch.state} and says nothing of this row"
        told = {"response": None, "error": {"code": f"batch_{batch.state}", "message": reason}}
        for row in some:
            booked = _end(core, job, row, ended_at, status=None, unbilled=unbilled)
            tally.add(booked.outcome, booked.cost)
            file.write(_line(job, row, booked, told))

    results = _results(parts)
    while some := list(islice(results, _AT_A_TIME)):
        await core.ledger.in_thread(partial(answered, some))
    left = list(missing.values())
    for start in range(0, len(left), _AT_A_TIME):
        await core.ledger.in_thread(partial(unanswered, left[start : start + _AT_A_TIME]))


def _results(parts: list[Path]) -> Iterator[Mapping[str, object]]:
    for part in parts:
        with part.open("rb") as lines:
            for data in lines:
                if not data.strip():
                    continue
                try:
                    value: object = json.loads(data)
                except (ValueError, RecursionError):
                    raise MalformedResponse("the host's file of results has a line that is not JSON") from None
                if isinstance(value, Mapping):
                    yield cast("Mapping[str, object]", value)


def _book(core: Core, job: JobFile, row: JobRow, told: Mapping[str, object], ended_at: datetime) -> _Booked:
    response = told.get("response")
    answered = cast("Mapping[str, object]", response if isinstance(response, Mapping) else {})
    code, body = answered.get("status_code"), answered.get("body")
    status = code if isinstance(code, int) else None
    if status is None or status >= 300 or not isinstance(body, Mapping):
        return _end(core, job, row, ended_at, status=status, unbilled=status is None or status >= 300)
    fields = cast("Mapping[str, object]", body)
    usage = read_usage(cast("Mapping[str, object] | None", fields.get("usage")))
    answer = _answer(core, row, fields)
    if usage is None or usage.certainty == "unknown":
        return _end(core, job, row, ended_at, status=status, unbilled=False, answered=answer is not None)
    mode = row.mode if answer is None else answer.mode
    attempt = _attempt(core, job, row)
    rules = core.profile.batch or BatchRules()
    cost = cost_of(core, attempt, usage, mode, ended_at=ended_at, tier=rules.tier)
    booked = core.ledger.settle(
        attempt.id,
        usage=usage,
        cost=cost,
        ended_at=ended_at,
        finish_reason=None if answer is None else answer.finish_reason,
        http_status=status,
    )
    warnings = () if answer is None else answer.warnings
    outcome: Outcome = "answered" if answer is not None else "unanswered"
    return _Booked(outcome, booked.cost.total, booked.cost.certainty, mode, warnings)


def _end(
    core: Core,
    job: JobFile,
    row: JobRow,
    ended_at: datetime,
    *,
    status: int | None,
    unbilled: bool,
    answered: bool = False,
) -> _Booked:
    """Book a row that has no usage: it is known not to be billed, or stays at its worst case."""
    attempt = _attempt(core, job, row)
    if unbilled:
        booked = core.ledger.release(attempt.id, ended_at=ended_at, http_status=status, error="NotAnswered")
    else:
        booked = core.ledger.hold_unknown(attempt.id, ended_at=ended_at, http_status=status, error="NoUsage")
    outcome: Outcome = "answered" if answered else "failed" if unbilled else "unanswered"
    return _Booked(outcome, booked.cost.total, booked.cost.certainty, row.mode)


def _attempt(core: Core, job: JobFile, row: JobRow) -> Attempt:
    attempt = core.ledger.attempt(job.state.attempt_id(row))
    if attempt is None:
        raise BatchError(
            f"this ledger does not hold the reservations of {str(job.path)!r}; open the one that it was submitted with"
        )
    return attempt


def _answer(core: Core, row: JobRow, body: Mapping[str, object]) -> Answer | None:
    """The answer in a `chat.completion`, read like any other; `None` when it is none."""
    try:
        chunk = parse_chunk(json.dumps(body).encode())
    except DeepthriftError:
        return None
    if chunk.is_error or not any(choice.message for choice in chunk.choices or ()):
        return None
    accumulator = Accumulator(core.profile, row.mode)
    accumulator.add(chunk)
    accumulator.flush()
    accumulator.done = True
    return accumulator.answer()


def _line(job: JobFile, row: JobRow, booked: _Booked, told: Mapping[str, object]) -> bytes:
    line = {
        "id": told.get("id") or new_id("batch_req"),
        "custom_id": row.custom_id,
        "response": told.get("response"),
        "error": told.get("error"),
        "deepthrift": {
            "line": row.line,
            "outcome": booked.outcome,
            "cost": f"{booked.cost.amount:f}",
            "currency": booked.cost.currency,
            "certainty": booked.certainty,
            "mode": booked.mode,
            "requested_mode": row.mode,
            "attempts": 1,
            "attempt_ids": [job.state.attempt_id(row)],
            "warnings": list(booked.warnings),
        },
    }
    return json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
