"""Many calls of the synchronous client as one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from deepthrift._client.async_batches import AsyncBatches
from deepthrift._client.calls import Calls
from deepthrift._types.expected_length import ExpectedLength
from deepthrift._types.messages import JSONObject
from deepthrift_pricing import Mode

if TYPE_CHECKING:
    from deepthrift.batch import (
        BatchEstimate,
        BatchProgress,
        BatchResult,
        BatchRow,
        BatchSummary,
        NativeBatch,
        SyncChatter,
        Workers,
    )
    from deepthrift.batch._chatter import Threaded

T = TypeVar("T")


class Batches(Calls):
    """Batches; see `AsyncBatches`."""

    @property
    @abstractmethod
    def _tasks(self) -> AsyncBatches: ...

    def batch(
        self,
        rows: Iterable[BatchRow | JSONObject | str],
        *,
        mode: Mode | None = None,
        through: SyncChatter | None = None,
        concurrency: int = 16,
        on: Workers | str | None = None,
        on_result: Callable[[BatchResult], object] | None = None,
    ) -> list[BatchResult]:
        """An answer, or a typed error, for each of many rows; see `AsyncClient.batch`.

        `through` runs in threads of its own, `on_result` in the client's thread.
        """
        return self._run(
            self._tasks.batch(
                rows, mode=mode, through=_threaded(through), concurrency=concurrency, on=on, on_result=on_result
            )
        )

    def batch_file(
        self,
        source: str | Path,
        out: str | Path,
        *,
        mode: Mode | None = None,
        through: SyncChatter | None = None,
        concurrency: int = 16,
        on: Workers | str | None = None,
        retry_failed: bool = False,
        retry_unanswered: bool = False,
        on_progress: Callable[[BatchProgress], object] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> BatchSummary:
        """The same from a file to another, resumable; see `AsyncClient.batch_file`."""
        return self._run(
            self._tasks.batch_file(
                source,
                out,
                mode=mode,
                through=_threaded(through),
                concurrency=concurrency,
                on=on,
                retry_failed=retry_failed,
                retry_unanswered=retry_unanswered,
                on_progress=on_progress,
                stop=stop,
            )
        )

    def batch_estimate(
        self,
        rows: str | Path | Iterable[BatchRow | JSONObject | str],
        *,
        mode: Mode | None = None,
        routed: bool = False,
        native: bool = False,
        expected_length: ExpectedLength | None = None,
    ) -> BatchEstimate:
        """What a batch will cost, by mode; see `AsyncClient.batch_estimate`."""
        return self._run(
            self._tasks.batch_estimate(rows, mode=mode, routed=routed, native=native, expected_length=expected_length)
        )

    def batch_submit(self, source: str | Path, out: str | Path, *, mode: Mode | None = None) -> NativeBatch:
        """Hand a whole file to the host's own batch service; see `AsyncClient.batch_submit`."""
        return self._run(self._tasks.batch_submit(source, out, mode=mode))

    def batch_status(self, out: str | Path) -> NativeBatch:
        """Where a submitted batch stands; see `AsyncClient.batch_status`."""
        return self._run(self._tasks.batch_status(out))

    def batch_fetch(
        self,
        out: str | Path,
        *,
        wait: bool = False,
        poll: float = 30.0,
        on_status: Callable[[NativeBatch], object] | None = None,
    ) -> BatchSummary:
        """Write and book the results of a submitted batch; see `AsyncClient.batch_fetch`."""
        return self._run(self._tasks.batch_fetch(out, wait=wait, poll=poll, on_status=on_status))

    def batch_cancel(self, out: str | Path) -> NativeBatch:
        """Ask the host to stop a submitted batch; see `AsyncClient.batch_cancel`."""
        return self._run(self._tasks.batch_cancel(out))


def _threaded(through: SyncChatter | None) -> Threaded | None:
    from deepthrift.batch._chatter import Threaded

    return None if through is None else Threaded(through)
