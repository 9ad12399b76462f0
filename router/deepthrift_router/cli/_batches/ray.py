"""`deepthrift batch run --on ray://…`: the files stay here, and the rows are sent from the machines of a cluster."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deepthrift.shared.urls import shown_url
from deepthrift_router.cli._batches.run import RunOptions, progress, send_file
from deepthrift_router.cli._shared.connect import Place, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepthrift.batch import BatchProgress, BatchSummary
    from deepthrift_router.cli._shared.output import Output


async def run_on_ray(
    source: Path,
    out: Path,
    place: Place,
    output: Output,
    options: RunOptions,
    interrupted: Callable[[], bool],
) -> BatchSummary:
    """The summary of a batch whose rows were sent from a cluster."""
    from deepthrift.cluster import RayCluster

    check_place(place)
    through = None
    if options.mode == "auto":
        from deepthrift_router import ModeRouter

        through = ModeRouter
    with contextlib.ExitStack() as shown, contextlib.ExitStack() as starting:
        shows: list[Callable[[BatchProgress], object]] = []

        def ready(nodes: tuple[str, ...]) -> None:
            starting.close()
            output.note(f"workers: {', '.join(nodes)}")
            shows.append(shown.enter_context(progress(output)))

        cluster = RayCluster(
            str(options.on), key_variable=place.endpoint.key_variable, through=through, on_workers=ready
        )
        # Ray prints pages about a node that dies, and to standard output: what becomes of rows is told by the batch.
        shown.enter_context(contextlib.redirect_stdout(io.StringIO()))
        async with connect(place, output) as client:
            starting.enter_context(output.working(f"starting workers on {options.on}"))
            return await send_file(
                client,
                source,
                out,
                options,
                on=cluster,
                on_progress=lambda now: [show(now) for show in shows],
                stop=interrupted,
            )


def check_place(place: Place) -> None:
    """Refuse, before anything starts, what is on this machine alone, or is a secret that would have to travel.

    Raises:
        click.UsageError: It is.
    """
    from deepthrift.shared.clusters import LEDGER_VARIABLE
    from deepthrift_pricing.shared.urls import safe_url

    endpoint, ledger = place.endpoint, place.ledger
    if endpoint.local:
        raise click.UsageError("the embedded engine is on this machine alone; name an endpoint with --url for --on")
    if endpoint.key is not None and endpoint.key_variable is None:
        raise click.UsageError("a key that was typed stays here; for --on name a variable with --api-key-env")
    if endpoint.url and shown_url(endpoint.url) != endpoint.url:
        raise click.UsageError(
            "the URL holds a password or key, which would travel; name a variable with --api-key-env"
        )
    if not isinstance(ledger, str) or not ledger.startswith(("postgresql://", "postgres://")):
        raise click.UsageError("--on needs a ledger that all machines share: --ledger postgresql://user@host/database")
    if safe_url(ledger) != ledger and os.environ.get(LEDGER_VARIABLE) != ledger:
        raise click.UsageError(
            f"the ledger's URL holds a password, which would travel; put the URL into {LEDGER_VARIABLE}, here and "
            "where the Ray nodes are started"
        )
