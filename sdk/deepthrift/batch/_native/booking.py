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

from deepthrift._call.attempt.cost_of import cost_of, price_warnings
from deepthrift._call.attempt.usage_claims import checked_usage, most_tokens, usage_warning
from deepthrift._call.endpoints.target import Target
from deepthrift._call.prepare.counting import PromptCount
from deepthrift._types.errors import BatchError, DeepthriftError, MalformedResponse, ResponseTooLarge
from deepthrift._wire.errors.billed import is_free
from deepthrift._wire.errors.failures import describe
from deepthrift._wire.events.chunk import parse_chunk
from deepthrift._wire.events.large import load_json
from deepthrift._wire.reply.accumulator import Accumulator
from deepthrift._wire.reply.answer import Answer
from deepthrift.batch._native.job import JobFile, JobRow
from deepthrift.batch._native.wire import NativeBatch
from deepthrift.batch._progress import Tally
from deepthrift.batch._result import Outcome
from deepthrift.hosts import BatchRules
from deepthrift_pricing import Attempt, Mode, Money, Usage, new_id, utc_now
from deepthrift_pricing import parse_usage as read_usage
from deepthrift_pricing.shared.bookings import UNKNOWN_IDENTITY
from deepthrift_pricing.shared.claims import Evidence

_AT_A_TIME: Final = 50


@dataclass(frozen=True, slots=True)
class _BookedRow:
    """A row as it was booked."""

    outcome: Outcome
    cost: Money
    certainty: str
    mode: Mode
    warnings: tuple[str, ...] = ()


async def write_results(
    target: Target, job: JobFile, batch: NativeBatch, parts: list[Path], file: BinaryIO, tally: Tally
) -> None:
    """Book every row of a batch that has ended, and write its line; what was booked before stays as it was."""
    missing = dict(job.state.rows)
    ended_at = utc_now()

    def answered(some: Sequence[Mapping[str, object]]) -> None:
        for told in some:
            row = missing.pop(str(told.get("custom_id")), None)
            if row is None:  # not ours, or told twice
                continue
            booked = _book(target, job, row, told, ended_at)
            tally.add(booked.outcome, booked.cost)
            file.write(_line(job, row, booked, told))

    def unanswered(some: Sequence[JobRow]) -> None:
        # Neither answered nor refused: a host that says that it is through with the file may have billed it.
        unbilled = batch.state in ("failed", "expired", "cancelled")
        reason = "; ".join(batch.problems) or f"the host's batch is {batch.state} and says nothing of this row"
        told = {"response": None, "error": {"code": f"batch_{batch.state}", "message": reason}}
        for row in some:
            booked = _end(target, job, row, ended_at, status=None, unbilled=unbilled)
            tally.add(booked.outcome, booked.cost)
            file.write(_line(job, row, booked, told))

    results = _results(parts, target.settings.max_response_bytes)
    while some := list(islice(results, _AT_A_TIME)):
        await target.ledger.in_thread(partial(answered, some))
    left = list(missing.values())
    for start in range(0, len(left), _AT_A_TIME):
        await target.ledger.in_thread(partial(unanswered, left[start : start + _AT_A_TIME]))


def _results(parts: list[Path], most: int) -> Iterator[Mapping[str, object]]:
    for part in parts:
        with part.open("rb") as lines:
            while data := lines.readline(most + 1):
                if len(data) > most:
                    raise ResponseTooLarge(
                        f"the host's file of results has a line of more than max_response_bytes={most:,} bytes; if "
                        "answers may be that large, raise it and fetch again"
                    )
                if not data.strip():
                    continue
                try:
                    value: object = load_json(data)
                except (ValueError, RecursionError):
                    raise MalformedResponse("the host's file of results has a line that is not JSON") from None
                if isinstance(value, Mapping):
                    yield cast("Mapping[str, object]", value)


def _book(target: Target, job: JobFile, row: JobRow, told: Mapping[str, object], ended_at: datetime) -> _BookedRow:
    response = told.get("response")
    answered = cast("Mapping[str, object]", response if isinstance(response, Mapping) else {})
    code, body = answered.get("status_code"), answered.get("body")
    status = code if isinstance(code, int) else None
    if status is None or status >= 300 or not isinstance(body, Mapping):
        return _end(target, job, row, ended_at, status=status, unbilled=_is_unbilled(target, status, told))
    billed = _accumulated(target, row, cast("Mapping[str, object]", body))
    answer = None if billed is None else billed.answer()
    usage = _usage(target, row, cast("Mapping[str, object]", body), answer, billed)
    if usage is None or usage.certainty == "unknown":
        return _end(target, job, row, ended_at, status=status, unbilled=False, answered=answer is not None)
    mode = row.mode if answer is None else answer.mode
    attempt = _attempt(target, job, row)
    rules = target.profile.batch or BatchRules()
    cost = cost_of(target, attempt, usage, mode, ended_at=ended_at, tier=rules.tier)
    identity = UNKNOWN_IDENTITY if answer is None else answer.identity
    news = target.ledger.news_of(attempt, identity)
    booked = target.ledger.settle(
        attempt.id,
        usage=usage,
        cost=cost,
        ended_at=ended_at,
        finish_reason=None if answer is None else answer.finish_reason,
        http_status=status,
        identity=identity,
    )
    warnings = (
        *price_warnings(attempt, usage, cost, rules.tier),
        *(() if answer is None else answer.warnings),
        *((news,) if news else ()),
    )
    if (warning := usage_warning(usage)) is not None:
        warnings = (*warnings, warning)
    outcome: Outcome = "answered" if answer is not None else "unanswered"
    return _BookedRow(outcome, booked.cost.total, booked.cost.certainty, mode, warnings)


def _is_unbilled(target: Target, status: int | None, told: Mapping[str, object]) -> bool:
    """Whether a row without an answer is known to cost nothing: by its status, or by the code in its error."""
    code = describe(told.get("error"))[1] if status is None else status
    return code is None or (code >= 300 and is_free(target.profile, code))


def _usage(
    target: Target, row: JobRow, body: Mapping[str, object], answer: Answer | None, billed: Accumulator | None
) -> Usage | None:
    """What the host reports of a row, checked; `None` or `unknown` where nothing can be counted in its place."""
    profile = target.profile
    if answer is None or billed is None:
        usage = read_usage(cast("Mapping[str, object] | None", body.get("usage")))
        return None if usage is None or usage.prompt_tokens == 0 else usage
    if not row.prompt_tokens and (answer.usage is None or answer.usage.prompt_tokens == 0):
        return None  # submitted by an earlier version, which did not keep its count
    prompt = PromptCount(row.prompt_tokens, row.prompt_tokens, row.prompt_certainty)
    sent = Evidence(
        lambda: row.least_prompt_tokens,
        lambda: row.prompt_tokens,
        own_tokenizer=prompt.exact or profile.counts_as_v31(row.model),
        most=most_tokens(profile, row.prompt_tokens),
    )
    return checked_usage(profile, row.model, prompt, sent, answer, billed, most_tokens(profile, 0))


def _end(
    target: Target,
    job: JobFile,
    row: JobRow,
    ended_at: datetime,
    *,
    status: int | None,
    unbilled: bool,
    answered: bool = False,
) -> _BookedRow:
    """Book a row that has no usage: it is known not to be billed, or stays at its worst case."""
    attempt = _attempt(target, job, row)
    if unbilled:
        booked = target.ledger.release(attempt.id, ended_at=ended_at, http_status=status, error="NotAnswered")
    else:
        booked = target.ledger.hold_unknown(attempt.id, ended_at=ended_at, http_status=status, error="NoUsage")
    outcome: Outcome = "answered" if answered else "failed" if unbilled else "unanswered"
    return _BookedRow(outcome, booked.cost.total, booked.cost.certainty, row.mode)


def _attempt(target: Target, job: JobFile, row: JobRow) -> Attempt:
    attempt = target.ledger.attempt(job.state.attempt_id(row))
    if attempt is None:
        raise BatchError(
            f"this ledger does not hold the reservations of {str(job.path)!r}; open the one that it was submitted with"
        )
    return attempt


def _accumulated(target: Target, row: JobRow, body: Mapping[str, object]) -> Accumulator | None:
    """The answer in a `chat.completion`, read like any other; `None` when it is none."""
    try:
        chunk = parse_chunk(json.dumps(body).encode())
    except DeepthriftError:
        return None
    if chunk.is_error or not any(choice.message for choice in chunk.choices or ()):
        return None
    accumulator = Accumulator(target.profile, row.mode)
    accumulator.add(chunk)
    accumulator.flush()
    accumulator.done = True
    return accumulator


def _line(job: JobFile, row: JobRow, booked: _BookedRow, told: Mapping[str, object]) -> bytes:
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
