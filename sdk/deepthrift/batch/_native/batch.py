"""Batches that a host runs itself: reserved when they are submitted, booked once when they are fetched."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, cast

from deepthrift._call.attempt.usage_claims import prompt_evidence
from deepthrift._call.endpoints.target import Target
from deepthrift._call.prepare.passes import Passes, Step
from deepthrift._types.errors import (
    AttemptTimeout,
    BatchError,
    ConnectionFailed,
    DeepthriftError,
    MalformedResponse,
    RateLimited,
    ServerError,
    UnknownReservation,
    UnsupportedFeature,
)
from deepthrift._types.options import options_of
from deepthrift._util.private_files import private_file
from deepthrift.batch._input import Check, InputFile
from deepthrift.batch._native.api import NativeAPI
from deepthrift.batch._native.booking import write_results
from deepthrift.batch._native.job import JobFile, JobRow
from deepthrift.batch._native.wire import NativeBatch
from deepthrift.batch._progress import BatchSummary, Tally
from deepthrift.batch._row import BatchRow, row_mode
from deepthrift.hosts import BatchRules
from deepthrift_pricing import AttemptRequest, Mode, new_id, utc_now

_AT_A_TIME: Final = 50
_DAY: Final = timedelta(hours=24)
_PATIENCE: Final = 5
"""Failed looks at the host in a row, before waiting for a batch is given up."""


def job_path(out: Path) -> Path:
    """Where the job of an out file is remembered."""
    return out.with_name(f"{out.name}.job")


def batch_rules(core: Target) -> BatchRules:
    """How the host takes batches.

    Raises:
        UnsupportedFeature: It does not, as far as its profile knows.
    """
    rules = core.profile.batch
    if rules is None:
        raise UnsupportedFeature(
            f"{core.profile.name!r} has no batch service that its profile knows of; `batch run` asks row by row. If it "
            "has one, say so in a profile of yours: a [batch] table"
        )
    return rules


# -- submit --------------------------------------------------------------------------------------------------------


async def submit(core: Target, source: Path, out: Path, check: Check, mode: Mode | None) -> NativeBatch:
    """Reserve every row at the batch tier, upload the file and have the host begin.

    Raises:
        InvalidRequestError: A row is wrong; nothing was sent.
        BudgetExceeded: All of it does not fit a budget; nothing was sent, and nothing stays reserved.
        BatchError: It was submitted before, or it is not known whether it was.
    """
    rules = batch_rules(core)
    api = NativeAPI(core, rules)
    _check_free(out)
    with contextlib.ExitStack() as opened:
        rows = InputFile(source)
        opened.callback(rows.close)
        scan = await rows.scan(check)
        if scan.rows > rules.max_rows:
            raise BatchError(f"{scan.rows:,} rows are too many for one batch; the host takes {rules.max_rows:,}")
        job = opened.enter_context(JobFile(job_path(out), create=True))
        state = job.state
        if state.event in ("created", "booked"):
            raise BatchError(f"{str(out)!r} was submitted already, as {state.batch_id!r}; fetch it")
        if state.event == "creating":
            found = await api.find(state.file_id)  # the process died between the request and its answer
            if found is not None:
                job.note("created", batch_id=found.id)
                return found
        if state.head and state.event != "abandoned":
            await _release_all(core, job)
        upload = out.with_name(f"{out.name}.upload")
        opened.callback(upload.unlink, missing_ok=True)
        job.begin({"id": new_id("batch"), "sha256": scan.sha256, "rows": scan.rows, "host": core.profile.name})
        try:
            await _prepare(core, rules, rows, job, upload, mode)
            job.note("uploaded", file_id=await api.upload(upload))
        except BaseException:
            await _release_all(core, job)
            raise
        job.note("creating")
        try:
            made = await api.create(job.state.file_id, job.state.id)
        except DeepthriftError as error:
            if not isinstance(error, AttemptTimeout | ConnectionFailed | MalformedResponse | ServerError):
                await _release_all(core, job)  # refused: there is no such batch
            else:
                error.message += ". It may have begun all the same: submit again, which looks for it first"
            raise
        job.note("created", batch_id=made.id)
        return made


def _check_free(out: Path) -> None:
    if out.exists() and out.stat().st_size:
        raise BatchError(f"{str(out)!r} is there already; name another out file")


async def _prepare(
    core: Target, rules: BatchRules, rows: InputFile, job: JobFile, upload: Path, mode: Mode | None
) -> None:
    """Write the requests as the host wants them, and reserve each."""
    names: list[JobRow] = []
    requests: list[AttemptRequest] = []
    with private_file(upload) as file:
        for number, row in enumerate(rows.rows(lambda _: True)):
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
            step = await _step(core, rules, row, mode)
            body = cast("dict[str, object]", json.loads(step.request.body))
            body.pop("stream", None)
            line = {"custom_id": row.custom_id, "method": "POST", "url": rules.endpoint, "body": body}
            file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
            name = JobRow(
                row.line,
                row.custom_id,
                step.request.mode,
                step.request.model,
                prompt_tokens=step.prompt.likely,
                least_prompt_tokens=prompt_evidence(
                    core.profile, step.request.model, step.prompt, step.request.body
                ).count(),
                prompt_certainty=step.prompt.certainty,
            )
            names.append(name)
            requests.append(_request(core, rules, job, name, row, step))
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    if size > rules.max_megabytes * 1_000_000:
        raise BatchError(f"{size / 1e6:,.0f} MB are too much for one batch; the host takes {rules.max_megabytes:,} MB")
    job.add_rows(names)
    for start in range(0, len(requests), _AT_A_TIME):
        some = requests[start : start + _AT_A_TIME]
        await core.ledger.in_thread(partial(_reserve, core, some))
    job.note("reserved")


async def _step(core: Target, rules: BatchRules, row: BatchRow, mode: Mode | None) -> Step:
    wanted = row_mode(row, mode, core.profile) or "standard"
    switch = core.profile.switch(wanted)
    if switch.headers or (wanted == "thinking" and core.profile.two_pass is not None):
        raise UnsupportedFeature(f"line {row.line}: {core.profile.name!r} cannot switch to {wanted} mode in a batch")
    if row.options.get("service_tier") is not None:
        raise UnsupportedFeature(
            f"line {row.line}: a batch of the host is the service tier {rules.tier!r} itself; leave out service_tier"
        )
    passes = Passes(core, options_of(row.messages, wanted, row.max_tokens, row.options), stream=False)
    return await passes.next()


def _request(core: Target, rules: BatchRules, job: JobFile, name: JobRow, row: BatchRow, step: Step) -> AttemptRequest:
    request, started_at = step.request, utc_now()
    attempt_id = job.state.attempt_id(name)
    tags = {**core.settings.tags, **(row.options.get("tags") or {}), "batch": job.state.id, "tier": rules.tier}
    return AttemptRequest(
        attempt_id=attempt_id,
        call_id=attempt_id.replace("att-", "call-", 1),
        group_id=job.state.id,
        host=core.profile.name,
        model=request.model,
        mode=request.mode,
        prompt_tokens=step.prompt.tokens,
        max_tokens=request.max_tokens,
        worst=core.prices.worst(
            host=core.profile.name,
            model=request.model,
            mode=request.mode,
            prompt_tokens=step.prompt.tokens,
            max_tokens=request.max_tokens,
            at=started_at,
            within=_DAY,
            currency=core.currency,
            tier=rules.tier,
            requests=request.requests,
        ),
        tags=tags,
        service_tier=rules.tier,
        started_at=started_at,
    )


def _reserve(core: Target, requests: Sequence[AttemptRequest]) -> None:
    for request in requests:
        core.ledger.try_reserve(request)


async def _release_all(core: Target, job: JobFile) -> None:
    """Give every reservation of a job back: no batch was made of it."""
    ids = [job.state.attempt_id(row) for row in job.state.rows.values()]

    def release() -> None:
        for attempt_id in ids:
            with contextlib.suppress(UnknownReservation):  # the process died before it came to this row
                core.ledger.release(attempt_id, ended_at=utc_now(), error="NotSubmitted")

    # After what the ledger's thread is still reserving, and to the end, also where this is cancelled.
    await asyncio.shield(asyncio.ensure_future(core.ledger.in_thread(release)))
    job.note("abandoned")


# -- status and cancel ---------------------------------------------------------------------------------------------


def _submitted(job: JobFile) -> str:
    if not job.state.batch_id:
        raise BatchError(f"{str(job.path)!r} has no batch that the host has begun; submit it again")
    return job.state.batch_id


async def status(core: Target, out: Path) -> NativeBatch:
    """Where the batch of an out file stands, as the host tells."""
    with JobFile(job_path(out), create=False) as job:
        return await NativeAPI(core, batch_rules(core)).get(_submitted(job))


async def cancel(core: Target, out: Path) -> NativeBatch:
    """Ask the host to stop it. What it has answered by then is billed: fetch it."""
    with JobFile(job_path(out), create=False) as job:
        return await NativeAPI(core, batch_rules(core)).cancel(_submitted(job))


# -- fetch ---------------------------------------------------------------------------------------------------------


async def fetch(
    core: Target, out: Path, *, wait: bool, poll: float, on_status: Callable[[NativeBatch], object] | None
) -> BatchSummary:
    """Write the results to the out file, and book each row once: another fetch writes and books the same.

    Raises:
        BatchError: It has not ended yet, and `wait` is not set; or this ledger does not hold its reservations.
    """
    api = NativeAPI(core, batch_rules(core))
    with JobFile(job_path(out), create=False) as job:
        batch = await _ended(api, _submitted(job), wait=wait, poll=poll, on_status=on_status)
        parts = [out.with_name(f"{out.name}.{name}") for name in ("results", "errors")]
        written = out.with_name(f"{out.name}.part")
        try:
            for part, file_id in zip(parts, (batch.output_file_id, batch.error_file_id), strict=True):
                if file_id:
                    await api.download(file_id, part, len(job.state.rows))
            tally = Tally(len(job.state.rows), None)
            with private_file(written) as file:
                await write_results(core, job, batch, [part for part in parts if part.exists()], file, tally)
                file.flush()
                os.fsync(file.fileno())
            written.replace(out)
            job.note("booked")
        finally:
            for part in (*parts, written):
                part.unlink(missing_ok=True)
    return tally.summary(out, None)


async def _ended(
    api: NativeAPI,
    batch_id: str,
    *,
    wait: bool,
    poll: float,
    on_status: Callable[[NativeBatch], object] | None,
) -> NativeBatch:
    failures = 0
    while True:
        try:
            batch = await api.get(batch_id)
        except (ConnectionFailed, RateLimited, ServerError):
            failures += 1
            if not wait or failures >= _PATIENCE:
                raise
        else:
            failures = 0
            if on_status is not None:
                on_status(batch)
            if batch.ended:
                return batch
            if not wait:
                raise BatchError(
                    f"the batch {batch_id!r} is {batch.state.replace('_', ' ')}; fetch it when it has ended"
                )
        await asyncio.sleep(poll)
