"""Many calls of the asynchronous client as one: from a list, or from file to file."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deepthrift._client.async_calls import AsyncCalls
from deepthrift._types.errors import ConfigurationError
from deepthrift._types.expected_length import ExpectedLength
from deepthrift._types.messages import JSONObject
from deepthrift._types.options import options_of
from deepthrift_pricing import Mode

if TYPE_CHECKING:
    from deepthrift.batch import (
        BatchEstimate,
        BatchProgress,
        BatchResult,
        BatchRow,
        BatchSummary,
        Chatter,
        NativeBatch,
        Workers,
    )
    from deepthrift.batch._estimate import EstimateRow
    from deepthrift.batch._input import Check
    from deepthrift.batch._runner import RowAsker


class AsyncBatches(AsyncCalls):
    """Batches, on top of a client's calls."""

    async def batch(
        self,
        rows: Iterable[BatchRow | JSONObject | str],
        *,
        mode: Mode | None = None,
        through: Chatter | None = None,
        concurrency: int = 16,
        on: Workers | str | None = None,
        on_result: Callable[[BatchResult], object] | None = None,
    ) -> list[BatchResult]:
        """An answer, or a typed error, for each of many rows, several of which are asked at once.

        Every row is checked before the first is sent. When a budget is used up, or something else that would meet every
        further row, no more are begun and those under way come to their end: the rest carries that error, unsent. An
        endpoint that is too busy is given the pause that it asks for.

        Args:
            rows: A `BatchRow`, an object in the OpenAI batch format, or a string for one user message, named by its
                place from 1.
            mode: The mode of rows that name none; left out, standard.
            through: What answers rows without a mode in the client's place, such as a `ModeRouter`.
            concurrency: Rows under way at once.
            on: A Ray cluster whose machines send the rows, or its address; left out, this process does.
            on_result: Called with each result as it comes.

        Returns:
            The results in the order of the rows.

        Raises:
            InvalidRequestError: A row is wrong; nothing was sent.
            ConfigurationError: The client has what cannot travel to a cluster; see `RayCluster`.
            ClusterUnavailable: The cluster cannot be reached.
        """
        from deepthrift.batch._run_rows import checked_rows, run_rows

        checked = checked_rows(rows, self._check(mode))
        async with self._asker(mode, through, on, concurrency) as asker:
            return await run_rows(checked, asker, concurrency=concurrency, on_result=on_result)

    async def batch_file(
        self,
        source: str | Path,
        out: str | Path,
        *,
        mode: Mode | None = None,
        through: Chatter | None = None,
        concurrency: int = 16,
        on: Workers | str | None = None,
        retry_failed: bool = False,
        retry_unanswered: bool = False,
        on_progress: Callable[[BatchProgress], object] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> BatchSummary:
        """The same from a file in the OpenAI batch format to another; run again, it goes on where it ended.

        The out file is only ever added to, a line for each result as it comes, and a journal stands beside it. What was
        begun and not written down when a process died may be billed: it becomes the result `unanswered`, and is sent
        again only with `retry_unanswered`. A row that is tried again gets a further line; its last one counts.

        Args:
            source: The in file.
            out: The out file; its journal has the same name with `.journal` behind it.
            mode: As for `batch`.
            through: As for `batch`.
            concurrency: As for `batch`.
            on: As for `batch`. The files stay with this process, and a run goes on on the cluster or off it. A row that
                is lost with its node is `unanswered`.
            retry_failed: Whether rows of an earlier run that failed, and cost nothing, are tried again.
            retry_unanswered: Whether rows are tried again that failed and are, or may be, billed: they are paid twice.
            on_progress: Called after each result.
            stop: Asked before each row; when it says yes, no more are begun, and those under way come to their end.

        Returns:
            What it came to. `stopped` says why no further row was begun, if that was so.

        Raises:
            InvalidRequestError: A row is wrong; the message has the line numbers, and nothing was sent.
            BatchError: The files cannot be used, are in use, or the in file is not that of the earlier run.
            ConfigurationError: The client has what cannot travel to a cluster; see `RayCluster`.
            ClusterUnavailable: The cluster cannot be reached.
        """
        from deepthrift.batch._run_file import FilePair, run_file

        routed_there = on is not None and not isinstance(on, str) and on.routes
        with FilePair(Path(source), Path(out)) as pair:
            async with self._asker(mode, through, on, concurrency) as asker:
                return await run_file(
                    pair,
                    asker,
                    self._check(mode),
                    model=self.model,
                    mode=mode,
                    routed=through is not None or routed_there,
                    currency=self._currency,
                    concurrency=concurrency,
                    retry_failed=retry_failed,
                    retry_unanswered=retry_unanswered,
                    on_progress=on_progress,
                    stop=stop,
                )

    async def batch_estimate(
        self,
        rows: str | Path | Iterable[BatchRow | JSONObject | str],
        *,
        mode: Mode | None = None,
        routed: bool = False,
        native: bool = False,
        expected_length: ExpectedLength | None = None,
    ) -> BatchEstimate:
        """What a batch will cost at least, probably and at most, by mode. Sends nothing.

        Args:
            rows: The path of an in file, or rows as for `batch`.
            mode: As for `batch`.
            routed: Whether a router will choose the mode of rows that name none.
            native: Whether it is for `batch_submit`, at the prices of the host's batches.
            expected_length: As for `estimate`.

        Raises:
            InvalidRequestError: A row is wrong.
            PriceNotFound: There is no price.
            UnsupportedFeature: It is for the host's own service, and the host has none.
        """
        from deepthrift.batch._estimate import estimate_rows
        from deepthrift.batch._input import InputFile
        from deepthrift.batch._run_rows import checked_rows

        check = self._check(mode)
        one = self._estimates(expected_length, native=native)
        if not isinstance(rows, str | Path):
            checked = checked_rows(rows, check)
            return await estimate_rows(checked, one, self.host, self._currency, mode=mode, routed=routed)
        source = InputFile(Path(rows))
        try:
            await source.scan(check)
            found = source.rows(lambda _: True)
            return await estimate_rows(found, one, self.host, self._currency, mode=mode, routed=routed)
        finally:
            source.close()

    async def batch_submit(self, source: str | Path, out: str | Path, *, mode: Mode | None = None) -> NativeBatch:
        """Hand a whole file to the host's own batch service, at its discount, where the host's profile knows of one.

        Every row is reserved at its worst case and the batch tier's price before the file is uploaded. `OUT.job`
        remembers it; with it and the same ledger, `batch_fetch` gets the results, from any process.

        Args:
            source: The in file, in the OpenAI batch format.
            out: Where the results will be written.
            mode: The mode of rows that name none; left out, standard.

        Raises:
            UnsupportedFeature: The host has no batch service, or cannot switch modes in one.
            InvalidRequestError: A row is wrong; nothing was sent.
            BudgetExceeded: All of it does not fit a budget; nothing was sent, and nothing stays reserved.
            BatchError: It was submitted before.
        """
        from deepthrift.batch._native.batch import submit

        return await submit(self._ready(), Path(source), Path(out), self._check(mode), mode)

    async def batch_status(self, out: str | Path) -> NativeBatch:
        """Where a submitted batch stands, as the host tells.

        Raises:
            BatchError: Nothing was submitted for this out file.
        """
        from deepthrift.batch._native.batch import status

        return await status(self._ready(), Path(out))

    async def batch_fetch(
        self,
        out: str | Path,
        *,
        wait: bool = False,
        poll: float = 30.0,
        on_status: Callable[[NativeBatch], object] | None = None,
    ) -> BatchSummary:
        """Write the results of a submitted batch, and book each row: once, however often it is fetched.

        Args:
            out: The out file that it was submitted for.
            wait: Whether to wait for its end.
            poll: Seconds between two looks.
            on_status: Called after each look.

        Raises:
            BatchError: It has not ended yet, or this ledger does not hold its reservations.
        """
        from deepthrift.batch._native.batch import fetch

        return await fetch(self._ready(), Path(out), wait=wait, poll=poll, on_status=on_status)

    async def batch_cancel(self, out: str | Path) -> NativeBatch:
        """Ask the host to stop a submitted batch. What it has answered by then is billed: fetch it.

        Raises:
            BatchError: Nothing was submitted for this out file.
        """
        from deepthrift.batch._native.batch import cancel

        return await cancel(self._ready(), Path(out))

    def _estimates(self, expected_length: ExpectedLength | None, *, native: bool) -> EstimateRow:
        """What tells the cost of a row in a mode."""
        from deepthrift._call.prepare.estimate import estimate_call
        from deepthrift.batch._native.batch import batch_rules

        if not native:
            return lambda row, mode: self.estimate(
                row.messages, mode=mode, max_tokens=row.max_tokens, expected_length=expected_length, **row.options
            )
        core = self._ready()
        prices = core.prices.at_tier(batch_rules(core).tier)
        return lambda row, mode: estimate_call(
            core.profile,
            core.model,
            prices,
            core.currency,
            core.ledger,
            core.prefixes,
            options_of(row.messages, mode, row.max_tokens, row.options),
            expected_length,
        )

    def _check(self, mode: Mode | None) -> Check:
        """What refuses a row that cannot be sent."""
        from deepthrift.batch._row import check_row

        profile, model = self.host, self.model
        return lambda row: check_row(row, mode, profile, model)

    @asynccontextmanager
    async def _asker(
        self, mode: Mode | None, through: Chatter | None, on: Workers | str | None, concurrency: int
    ) -> AsyncGenerator[RowAsker]:
        """What answers rows: this client, what stands in its place, or the workers of a cluster."""
        if on is None:
            from deepthrift.batch._runner import Asker

            yield Asker(self, self.host, mode, through)
            return
        if through is not None:
            raise ConfigurationError(
                "what answers in the client's place is made on each node: RayCluster(…, through=ModeRouter) in place "
                "of through=…"
            )
        from deepthrift.batch._workers import workers_at

        workers = workers_at(on) if isinstance(on, str) else on
        async with workers.start(self._running, mode, concurrency) as asker:
            yield asker
