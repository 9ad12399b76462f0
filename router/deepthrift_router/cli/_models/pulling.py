"""Fetching a local model with a progress bar."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

if TYPE_CHECKING:
    from deepthrift_router.cli._shared.output import Output


class PullOptions(TypedDict, total=False):
    """How a source that is not of the registry is fetched, named and pinned; see `models.pull`."""

    save_as: str | None
    file: str | None
    revision: str | None
    sha256: str | None
    update: bool


def pull(name: str, output: Output, *, full_check: bool = False, **how: Unpack[PullOptions]) -> Path:
    """Fetch the model `name` unless it is here, and return its file; progress goes to standard error.

    Raises:
        ModelFileError: No model has this name.
        DownloadError: It could not be fetched, or its hash is wrong.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    from deepthrift.local import PullProgress, models

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    told: set[str] = set()
    with Progress(*columns, console=output.err, transient=True, disable=not output.err.is_terminal) as progress:
        task = progress.add_task(name, total=None)

        def show(now: PullProgress) -> None:
            progress.update(task, description=f"{now.stage} {name}", completed=now.done, total=now.total or None)
            if not output.err.is_terminal and now.stage not in told and now.stage != "ready":
                told.add(now.stage)
                output.note(f"{now.stage} {name}…")

        return models.pull(name, show, full_check=full_check, **how)
