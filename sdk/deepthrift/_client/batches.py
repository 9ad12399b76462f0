"""Batches of a client: its methods `batch`, `batch_file` and the rest."""

# These functions are methods of the client, so they use its session.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Unpack

from deepthrift._call.chats import Chats
from deepthrift._client.session import Session
from deepthrift._types.errors import ConfigurationError
from deepthrift._types.messages import JSONObject
from deepthrift._types.options import options_of
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Mode

if TYPE_CHECKING:
    from deepthrift.batch import BatchEstimate, BatchResult, BatchRow, BatchSummary, Chatter, NativeBatch
    from deepthrift.batch._estimate import EstimateRow
    from deepthrift.batch._input import Check
    from deepthrift.batch._options import BatchEstimateOptions, BatchFileOptions, BatchOptions
    from deepthrift.batch._runner import RowSender


class BatchClient(Chats, Protocol):
    """The client that these methods belong to."""

    @property
    def host(self) -> HostProfile:
        """The profile of the preferred endpoint."""
        ...

    @property
    def model(self) -> str:
        """The model's name."""
        ...

    @property
    def _session(self) -> Session: ...


async def batch(
    self: BatchClient,
    rows: Iterable[BatchRow | JSONObject | str],
    *,
    through: Chatter | None = None,
    on_result: Callable[[BatchResult], object] | None = None,
    **options: Unpack[BatchOptions],
) -> list[BatchResult]:
    """An answer, or a typed error, for each of many rows, in the order of the rows.

    Every row is checked before the first is sent. When a budget is used up, or another error would meet every further
    row, no more are started and those in flight finish: the rest carries that error, unsent. An endpoint that is too
    busy gets the pause that it asks for.

    Args:
        rows: A `BatchRow`, an object in the OpenAI batch format, or a string for one user message, named by its place
            from 1.
        through: What answers rows without a mode instead of the client, such as a `ModeRouter`.
        on_result: Called with each result as it comes.
        **options: See `deepthrift.batch.BatchOptions`.

    Raises:
        InvalidRequestError: A row is wrong; nothing was sent.
        ConfigurationError: The client has what cannot travel to a cluster; see `RayCluster`.
        ClusterUnavailable: The cluster cannot be reached.
    """
    from deepthrift.batch._run_rows import checked_rows, run_rows

    checked = checked_rows(rows, _check(self, options.get("mode")))
    concurrency = options.get("concurrency", 16)
    async with _asker(self, through, options) as asker:
        return await run_rows(checked, asker, concurrency=concurrency, on_result=on_result)


async def batch_file(
    self: BatchClient,
    source: str | Path,
    out: str | Path,
    *,
    through: Chatter | None = None,
    **options: Unpack[BatchFileOptions],
) -> BatchSummary:
    """Answers a file in the OpenAI batch format into another; run again, it continues where it stopped.

    The out file only ever grows, by a line per result, with a journal next to it (`OUT.journal`). What was started and
    not written down when a process died may be billed: it becomes the result `unanswered`, and is sent again only with
    `retry_unanswered`. A row that is tried again gets a further line; its last one counts.

    Args:
        source: The in file.
        out: The out file.
        through: As for `batch`.
        **options: See `deepthrift.batch.BatchFileOptions`.

    Returns:
        What it came to. `stopped` says why no further row was started, if that was so.

    Raises:
        InvalidRequestError: A row is wrong; the message has the line numbers, and nothing was sent.
        BatchError: The files cannot be used, are in use, or the in file is not that of the earlier run.
        ConfigurationError: The client has what cannot travel to a cluster; see `RayCluster`.
        ClusterUnavailable: The cluster cannot be reached.
    """
    from deepthrift.batch._run_file import FilePair, run_file

    mode, on = options.get("mode"), options.get("on")
    routed_there = on is not None and not isinstance(on, str) and on.routes
    with FilePair(Path(source), Path(out)) as pair:
        async with _asker(self, through, options) as asker:
            return await run_file(
                pair,
                asker,
                _check(self, mode),
                model=self.model,
                mode=mode,
                routed=through is not None or routed_there,
                currency=self._session.targets.first.currency,
                concurrency=options.get("concurrency", 16),
                retry_failed=options.get("retry_failed", False),
                retry_unanswered=options.get("retry_unanswered", False),
                on_progress=options.get("on_progress"),
                stop=options.get("stop"),
            )


async def batch_estimate(
    self: BatchClient, rows: str | Path | Iterable[BatchRow | JSONObject | str], **options: Unpack[BatchEstimateOptions]
) -> BatchEstimate:
    """What a batch will cost at least, probably and at most, by mode. Sends nothing.

    Args:
        rows: The path of an in file, or rows as for `batch`.
        **options: See `deepthrift.batch.BatchEstimateOptions`.

    Raises:
        InvalidRequestError: A row is wrong.
        PriceNotFound: There is no price.
        UnsupportedFeature: It is for the host's own service, and the host has none.
    """
    from deepthrift.batch._estimate import estimate_rows
    from deepthrift.batch._input import InputFile
    from deepthrift.batch._run_rows import checked_rows

    mode, routed = options.get("mode"), options.get("routed", False)
    check, one, currency = _check(self, mode), _estimator(self, options), self._session.targets.first.currency
    if not isinstance(rows, str | Path):
        checked = checked_rows(rows, check)
        return await estimate_rows(checked, one, self.host, currency, mode=mode, routed=routed)
    source = InputFile(Path(rows))
    try:
        await source.scan(check)
        found = source.rows(lambda _: True)
        return await estimate_rows(found, one, self.host, currency, mode=mode, routed=routed)
    finally:
        source.close()


async def batch_submit(
    self: BatchClient, source: str | Path, out: str | Path, *, mode: Mode | None = None
) -> NativeBatch:
    """Hands a whole file to the host's own batch service, at its discount, where the host's profile has one.

    Every row is reserved at its worst case and the batch tier's price before the upload. `OUT.job` remembers it; with
    it and the same ledger, `batch_fetch` gets the results from any process.

    Args:
        source: The in file, in the OpenAI batch format.
        out: Where the results will be written.
        mode: The mode of rows that name none. Default: standard.

    Raises:
        UnsupportedFeature: The host has no batch service, or cannot switch modes in one.
        InvalidRequestError: A row is wrong; nothing was sent.
        BudgetExceeded: All of it does not fit a budget; nothing was sent, and nothing stays reserved.
        BatchError: It was submitted before.
    """
    from deepthrift.batch._native.batch import submit

    return await submit(self._session.ready(), Path(source), Path(out), _check(self, mode), mode)


async def batch_status(self: BatchClient, out: str | Path) -> NativeBatch:
    """How far the host is with a submitted batch.

    Raises:
        BatchError: Nothing was submitted for this out file.
    """
    from deepthrift.batch._native.batch import status

    return await status(self._session.ready(), Path(out))


async def batch_fetch(
    self: BatchClient,
    out: str | Path,
    *,
    wait: bool = False,
    poll: float = 30.0,
    on_status: Callable[[NativeBatch], object] | None = None,
) -> BatchSummary:
    """Writes the results of a submitted batch, and books each row once, however often it is fetched.

    Args:
        out: The out file that it was submitted for.
        wait: Whether to wait for its end.
        poll: Seconds between two looks.
        on_status: Called after each look.

    Raises:
        BatchError: It has not ended yet, or this ledger does not hold its reservations.
    """
    from deepthrift.batch._native.batch import fetch

    return await fetch(self._session.ready(), Path(out), wait=wait, poll=poll, on_status=on_status)


async def batch_cancel(self: BatchClient, out: str | Path) -> NativeBatch:
    """Asks the host to stop a submitted batch. What it has answered by then is billed: fetch it.

    Raises:
        BatchError: Nothing was submitted for this out file.
    """
    from deepthrift.batch._native.batch import cancel

    return await cancel(self._session.ready(), Path(out))


def _check(client: BatchClient, mode: Mode | None) -> Check:
    """What refuses a row that cannot be sent."""
    from deepthrift.batch._row import check_row

    profile, model = client.host, client.model
    return lambda row: check_row(row, mode, profile, model)


def _estimator(client: BatchClient, options: BatchEstimateOptions) -> EstimateRow:
    """What knows the cost of a row in a mode."""
    from deepthrift._call.prepare.estimate import estimate_call
    from deepthrift.batch._native.batch import batch_rules

    expected_length = options.get("expected_length")
    if not options.get("native", False):
        return lambda row, mode: client.estimate(
            row.messages, mode=mode, max_tokens=row.max_tokens, expected_length=expected_length, **row.options
        )
    target = client._session.ready()
    prices = target.prices.at_tier(batch_rules(target).tier)
    return lambda row, mode: estimate_call(
        target.profile,
        target.model,
        prices,
        target.currency,
        target.ledger,
        target.prefixes,
        options_of(row.messages, mode, row.max_tokens, row.options),
        expected_length,
    )


@asynccontextmanager
async def _asker(client: BatchClient, through: Chatter | None, options: BatchOptions) -> AsyncGenerator[RowSender]:
    """What answers rows: this client, what stands in its place, or the workers of a cluster."""
    mode, on = options.get("mode"), options.get("on")
    if on is None:
        from deepthrift.batch._runner import RowClient

        yield RowClient(client, client.host, mode, through)
        return
    if through is not None:
        raise ConfigurationError(
            "what answers in the client's place is made on each node: RayCluster(…, through=ModeRouter) in place of "
            "through=…"
        )
    from deepthrift.batch._workers import workers_at

    workers = workers_at(on) if isinstance(on, str) else on
    concurrency = options.get("concurrency", 16)
    async with workers.start(client._session.targets, mode, concurrency) as asker:
        yield asker
