"""`deepthrift batch run --on ray://…`: the files stay here, and the rows are sent from the machines of a cluster."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from deepthrift.cli._batching import RunOptions, own_mode, progress
from deepthrift.cli._connect import Place, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from deepthrift import AsyncClient
    from deepthrift.batch import BatchSummary
    from deepthrift.batch._remote_worker import WorkerSpec
    from deepthrift.cli._output import Output

_LEDGER_VARIABLE: Final = "DEEPTHRIFT_LEDGER"


async def run_on_ray(
    source: Path,
    out: Path,
    place: Place,
    output: Output,
    options: RunOptions,
    interrupted: Callable[[], bool],
) -> BatchSummary:
    """The summary of a batch whose rows were sent from a cluster."""
    from deepthrift.batch._ray import RayWorkers
    from deepthrift.batch._row import check_row
    from deepthrift.batch._run_file import FilePair, run_file

    mode = own_mode(options.mode)
    ledger = check_place(place, str(options.on))
    # Ray prints pages about a node that dies, and to standard output: what becomes of rows is told by the batch.
    with FilePair(source, out) as pair, contextlib.redirect_stdout(io.StringIO()):
        async with connect(place, output) as client:
            spec = spec_of(client, place, options, ledger)
            profile, model = client.host, client.model
            with output.working(f"starting workers on {options.on}"):
                workers = RayWorkers(str(options.on), spec, concurrency=options.concurrency)
                await workers.start()
            async with contextlib.AsyncExitStack() as stack:
                stack.push_async_exit(workers)
                output.note(f"workers: {', '.join(workers.nodes)}")
                show = stack.enter_context(progress(output))
                return await run_file(
                    pair,
                    workers,
                    lambda row: check_row(row, mode, profile, model),
                    model=model,
                    mode=mode,
                    routed=options.mode == "auto",
                    currency=client._currency,  # pyright: ignore[reportPrivateUsage]
                    concurrency=options.concurrency,
                    retry_failed=options.retry_failed,
                    retry_unanswered=options.retry_unanswered,
                    on_progress=show,
                    stop=interrupted,
                )


def check_place(place: Place, on: str) -> str:
    """The URL of the ledger that all machines share.

    Raises:
        click.UsageError: Something of the place is on this machine alone, or is a secret that would have to travel.
    """
    if on != "ray" and not on.startswith("ray://") and ":" not in on:
        raise click.UsageError(f"--on {on!r} is none of ray, ray://HOST:PORT and HOST:PORT")
    endpoint = place.endpoint
    if endpoint.local:
        raise click.UsageError("the embedded engine is on this machine alone; name an endpoint with --url for --on")
    if endpoint.key is not None and endpoint.key_variable is None:
        raise click.UsageError("a key that was typed stays here; for --on name a variable with --api-key-env")
    if endpoint.url and "@" in endpoint.url:
        raise click.UsageError("the URL holds a password, which would travel; name a variable with --api-key-env")
    if not isinstance(place.ledger, str) or not place.ledger.startswith(("postgresql://", "postgres://")):
        raise click.UsageError("--on needs a ledger that all machines share: --ledger postgresql://user@host/database")
    return place.ledger


def spec_of(client: AsyncClient, place: Place, options: RunOptions, ledger: str) -> WorkerSpec:
    """How the workers make their clients: with the names of secrets, never with secrets.

    Raises:
        click.UsageError: The ledger's URL has a password, and it is not in the environment.
    """
    from deepthrift.batch._remote_worker import WorkerSpec
    from deepthrift.cli._budgets import load
    from deepthrift_pricing._store_url import safe_url

    through = None
    if options.mode == "auto":
        from deepthrift_router import ModeRouter

        through = ModeRouter
    shown = safe_url(ledger)
    secret = shown != ledger
    if secret and os.environ.get(_LEDGER_VARIABLE) != ledger:
        raise click.UsageError(
            f"the ledger's URL holds a password, which would travel; put the URL into {_LEDGER_VARIABLE}, here and "
            "where the Ray nodes are started"
        )
    return WorkerSpec(
        url=place.endpoint.url,
        profile=client.host,
        model=client.model,
        key_variable=place.endpoint.key_variable,
        ledger=shown,
        ledger_variable=_LEDGER_VARIABLE if secret else None,
        prices=place.prices,
        budgets=(*load(), *place.budgets),
        tags=place.tags,
        mode=own_mode(options.mode),
        through=through,
    )
