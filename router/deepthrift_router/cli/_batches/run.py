"""Batches on the command line: the run with its progress, and the dry run."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from deepthrift_router.cli._shared.connect import Place, connect
from deepthrift_router.cli._shared.exits import FAILURE, INTERRUPTED, OK, describe, exit_code, report
from deepthrift_router.cli._shared.format import money, seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import FrameType

    from deepthrift import AsyncClient
    from deepthrift.batch import BatchEstimate, BatchProgress, BatchSummary, Chatter, ModeEstimate
    from deepthrift.cluster import RayCluster
    from deepthrift_pricing import Mode
    from deepthrift_router.cli._shared.output import Output

Choice = Literal["standard", "thinking", "auto"]

_TELL_EVERY: Final = 5.0
"""Seconds between two lines of progress where there is no terminal."""


@dataclass(frozen=True)
class RunOptions:
    """How a batch is to be run."""

    mode: Choice | None
    concurrency: int
    retry_failed: bool
    retry_unanswered: bool
    on: str | None = None
    """The cluster from which the rows are sent; `None` is this machine."""


Runner: TypeAlias = "Callable[[Path, Path, Place, Output, RunOptions, Callable[[], bool]], Awaitable[BatchSummary]]"
"""Runs a batch from file to file, here or on a cluster, until it's interrupted."""


def own_mode(mode: Choice | None) -> Mode | None:
    """The mode of rows that name none; `None` where the router, or nobody, chooses it."""
    return None if mode == "auto" else mode


async def run_file(source: Path, out: Path, place: Place, output: Output, options: RunOptions, runner: Runner) -> int:
    """`deepthrift batch run`; returns the exit code."""
    with _interrupts(output) as interrupted:
        summary = await runner(source, out, place, output, options, interrupted)
    code = summary_code(summary, interrupted=interrupted())
    if output.as_json:
        output.document(summary_document(summary, code))
        return code
    output.print(summary_line(summary), whole=True)
    if summary.stopped is not None:
        return report(summary.stopped, as_json=False)
    if summary.unsent:
        output.note(f"{summary.unsent:,} rows were not begun; the same command goes on with them")
    if summary.failed:
        output.note(f"{summary.failed:,} rows failed and cost nothing; --retry-failed sends them again")
    if summary.unanswered:
        output.note(
            f"{summary.unanswered:,} rows have no answer and may be billed; --retry-unanswered sends them again"
        )
    return code


async def run_here(
    source: Path,
    out: Path,
    place: Place,
    output: Output,
    options: RunOptions,
    interrupted: Callable[[], bool],
) -> BatchSummary:
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(connect(place, output))
        through = None
        if options.mode == "auto":
            from deepthrift_router.cli._answers.routing import router_at

            through = await stack.enter_async_context(router_at(client, place))
        with progress(output) as show:
            return await send_file(client, source, out, options, through=through, on_progress=show, stop=interrupted)


async def send_file(
    client: AsyncClient,
    source: Path,
    out: Path,
    options: RunOptions,
    *,
    through: Chatter | None = None,
    on: RayCluster | None = None,
    on_progress: Callable[[BatchProgress], object],
    stop: Callable[[], bool],
) -> BatchSummary:
    """The batch as `options` say, from this process or `on` a cluster."""
    return await client.batch_file(
        source,
        out,
        mode=own_mode(options.mode),
        through=through,
        on=on,
        concurrency=options.concurrency,
        retry_failed=options.retry_failed,
        retry_unanswered=options.retry_unanswered,
        on_progress=on_progress,
        stop=stop,
    )


def summary_code(summary: BatchSummary, *, interrupted: bool) -> int:
    """The exit code of a batch."""
    if summary.stopped is not None:
        return exit_code(summary.stopped)
    if summary.unsent and interrupted:
        return INTERRUPTED
    return FAILURE if summary.unsent or summary.failed or summary.unanswered else OK


def summary_document(summary: BatchSummary, code: int) -> dict[str, object]:
    """The summary as JSON."""
    fields = ("rows", "answered", "failed", "unanswered", "unsent", "run_rows", "spend", "run_spend", "seconds", "out")
    return {
        **{name: getattr(summary, name) for name in fields},
        "stopped": None if summary.stopped is None else describe(summary.stopped)["error"],
        "exit_code": code,
    }


def summary_line(summary: BatchSummary) -> str:
    """`1,000 rows: 998 answered, 2 failed · $0.41 in all, $0.12 now · 65.1 s`."""
    counts = {
        "answered": summary.answered,
        "failed": summary.failed,
        "unanswered": summary.unanswered,
        "not begun": summary.unsent,
    }
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing to do"
    cost = "" if summary.spend is None else f" · {money(summary.spend)} in all"
    if summary.run_spend is not None and summary.run_spend != summary.spend:
        cost += f", {money(summary.run_spend)} now"
    return f"{summary.rows:,} rows: {told}{cost} · {seconds(summary.seconds)}"


def _progress_text(now: BatchProgress) -> str:
    cost = "" if now.spend is None else f" · {money(now.spend, 6)}"
    wrong = now.failed + now.unanswered
    bad = f" · {wrong:,} without an answer" if wrong else ""
    left = "" if now.seconds_left is None or now.done == now.rows else f" · {seconds(now.seconds_left)} left"
    return f"{now.done:,}/{now.rows:,} rows{cost}{bad}{left}"


@contextlib.contextmanager
def progress(output: Output) -> Generator[Callable[[BatchProgress], None]]:
    """Shows how far the batch is: a bar on a terminal, else a line now and then."""
    from rich.progress import BarColumn, Progress, TextColumn

    told = time.monotonic()
    columns = (BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=output.err, transient=True, disable=not output.err.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def show(now: BatchProgress) -> None:
            nonlocal told
            if output.err.is_terminal:
                bar.update(task, description=_progress_text(now), completed=now.done, total=now.rows)
            elif time.monotonic() - told >= _TELL_EVERY:
                told = time.monotonic()
                output.note(_progress_text(now))

        yield show


@contextlib.contextmanager
def _interrupts(output: Output) -> Generator[Callable[[], bool]]:
    """The first Ctrl-C is only noted, and the next one interrupts as ever."""
    pressed: list[bool] = []

    def noted() -> bool:
        return bool(pressed)

    before = signal.getsignal(signal.SIGINT) or signal.SIG_DFL

    def note(number: int, frame: FrameType | None) -> None:
        pressed.append(True)
        signal.signal(signal.SIGINT, before)
        output.note("finishing what is under way; Ctrl-C again drops it, and it may be billed")

    try:
        signal.signal(signal.SIGINT, note)
    except ValueError:  # not the main thread: it gets no signals
        yield noted
        return
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


async def estimate_file(
    source: Path,
    place: Place,
    output: Output,
    mode: Choice | None,
    expected_tokens: int | None,
    *,
    native: bool = False,
) -> None:
    """`deepthrift batch run --dry-run`, and `submit --dry-run`."""
    async with connect(place, output) as client:
        with output.working("counting tokens", elsewhere=False):
            estimate = await client.batch_estimate(
                source,
                mode=own_mode(mode),
                routed=mode == "auto",
                native=native,
                expected_length=None if expected_tokens is None else lambda messages, mode: expected_tokens,
            )
    if output.as_json:
        output.document({**estimate.model_dump(mode="json"), "likely": estimate.likely, "worst": estimate.worst})
    else:
        show_estimate(estimate, output)


def show_estimate(estimate: BatchEstimate, output: Output) -> None:
    """The estimate for people."""
    from deepthrift_router.cli._shared.output import table

    output.print(f"{estimate.rows:,} rows; nothing was sent")
    numbers = ("rows", "prompt", "at most out", "least", "likely", "at worst")
    found = table("mode", *numbers, right=numbers)
    for mode in estimate.modes:
        found.add_row(*_estimate_row(mode))
    output.print(found)
    if estimate.worst is not None and len(estimate.modes) > 1:
        likely = "unknown" if estimate.likely is None else money(estimate.likely)
        output.print(f"together: likely {likely}, at worst {money(estimate.worst)}")
    if estimate.routed:
        output.print(
            f"The router chooses the mode of {estimate.routed:,} rows; they are counted in both modes, as if that mode "
            "alone answered them once."
        )
    if any(mode.likely is None for mode in estimate.modes):
        output.note("likely is unknown until the ledger has five answers of the mode; --expected-tokens tells")
    for line, reason in estimate.too_long:
        output.note(f"line {line}: {reason}")
    if estimate.too_long_rows:
        output.note(f"{estimate.too_long_rows:,} rows do not fit the context; each will be an error in the out file")


def _estimate_row(mode: ModeEstimate) -> tuple[str, ...]:
    about = "" if mode.exact else "≤ "
    likely = "?" if mode.likely is None else money(mode.likely, 6)
    return (
        mode.mode,
        f"{mode.rows:,}",
        f"{about}{mode.prompt_tokens:,}",
        f"{mode.max_tokens:,}",
        money(mode.least, 6),
        likely,
        money(mode.worst, 6),
    )
