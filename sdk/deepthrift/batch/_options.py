"""The keyword arguments of batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from deepthrift._types.expected_length import ExpectedLength
from deepthrift.batch._progress import BatchProgress
from deepthrift.batch._workers import Workers
from deepthrift_pricing import Mode


class BatchOptions(TypedDict, total=False):
    """What every batch takes."""

    mode: Mode | None
    """The mode of rows that name none. Default: standard."""
    concurrency: int
    """Rows in flight at once. Default: 16."""
    on: Workers | str | None
    """A cluster whose machines send the rows, such as `RayCluster`, or its address. Default: this process. Files stay
    here, and a run can continue on the cluster or off it; a row that is lost with its node is `unanswered`."""


class BatchFileOptions(BatchOptions, total=False):
    """What a batch from file to file takes."""

    retry_failed: bool
    """Whether to try rows again that failed in an earlier run and cost nothing."""
    retry_unanswered: bool
    """Whether to try rows again that failed and are, or may be, billed: they are paid twice."""
    on_progress: Callable[[BatchProgress], object] | None
    """Called after each result."""
    stop: Callable[[], bool] | None
    """Called before each row; when it returns true, no more rows are started, and those in flight finish."""


class BatchEstimateOptions(TypedDict, total=False):
    """What the estimate of a batch takes."""

    mode: Mode | None
    """The mode of rows that name none. Default: standard."""
    routed: bool
    """Whether a router will choose the mode of rows that name none."""
    native: bool
    """Whether it is for `batch_submit`, at the prices of the host's batches."""
    expected_length: ExpectedLength | None
    """As for `estimate`."""
