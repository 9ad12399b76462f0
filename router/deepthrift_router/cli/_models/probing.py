"""`deepthrift doctor --probe`: what it may cost first, then the questions, then a table and a profile."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from deepthrift import AsyncClient
from deepthrift.errors import APIError, ConfigurationError, PriceNotFound, ResponseError
from deepthrift.hosts import HostProfile
from deepthrift.shared.urls import shown_url
from deepthrift_pricing import Ledger, Money, PriceBook, utc_now
from deepthrift_router.cli._models.probe import Probe, base_profile
from deepthrift_router.cli._models.probe_profile import toml_of
from deepthrift_router.cli._models.probe_questions import MOST_REQUESTS
from deepthrift_router.cli._money.ledger import open_ledger
from deepthrift_router.cli._money.prices import price_book
from deepthrift_router.cli._shared.endpoint import resolve
from deepthrift_router.cli._shared.exits import FAILURE, OK, message
from deepthrift_router.cli._shared.format import money
from deepthrift_router.cli._shared.output import table

if TYPE_CHECKING:
    from deepthrift_router.cli._shared.options import EndpointOptions
    from deepthrift_router.cli._shared.output import Output

_MARKS: Final = {"yes": "yes", "no": "no", "unclear": "?"}


async def probe(options: EndpointOptions, output: Output, *, write: Path | None, agreed: bool) -> int:
    """Probe the endpoint of `options`, show what was found, and write a profile; the exit code.

    Raises:
        click.UsageError: A key is in use and the user has not agreed.
        APIError: The endpoint cannot be reached.
    """
    named = None if options.prices is None else price_book(options.prices)
    endpoint = resolve(options)
    url = (endpoint.url or "").rstrip("/")
    known = HostProfile.for_url(url, model=endpoint.model)
    key = endpoint.key or _own_key(url, known)
    listed = await _listed(url, key)
    model = endpoint.model or (known.model if known.owns(url) else None) or next(iter(listed), None) or known.model
    if model is None:
        raise ConfigurationError("the endpoint lists no models; name one with --model")
    with ExitStack() as stack:
        prices = named or _known_prices(url, model)
        if prices is None:
            ledger = stack.enter_context(Ledger.open("memory:"))
        else:
            ledger = stack.enter_context(open_ledger(options.ledger))
        prober = Probe(
            url,
            model=model,
            key=key,
            prices=prices or PriceBook.flat(cache_miss="0", completion="0"),
            ledger=ledger,
            listed=listed,
            progress=lambda text: output.note(f"{text}…"),
        )
        worst = prober.worst() if prices is not None else None
        cost = "their cost is not known, so they are not booked" if worst is None else f"{money(worst)} at most"
        output.note(f"probing {shown_url(url)} for {model}: {MOST_REQUESTS} small requests at most; {cost}")
        if key is not None and not agreed:
            raise click.UsageError(
                f"a key is in use, so these {MOST_REQUESTS} requests may be billed ({cost}); say --yes to send them"
            )
        began = utc_now()
        profile = await prober.run()
        text = toml_of(profile)
        HostProfile.parse(text, origin="the probed profile")
        spent = _spent(ledger, began) if prices is not None else None
        try:
            if write is not None:
                _write(write, text)
        except OSError as error:  # what was asked is paid for, so it is shown all the same
            _show(prober, text, spent, None, output)
            output.note(f"error: {message(error)}", style="red")
            return FAILURE
        _show(prober, text, spent, write, output)
    return OK


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)


def _own_key(url: str, known: HostProfile) -> str | None:
    from deepthrift.shared.network import key_from_environment

    return key_from_environment(known, url)


async def _listed(url: str, key: str | None) -> tuple[str, ...]:
    """The endpoint's models; none where it does not list them."""
    async with AsyncClient(url, model=None, api_key=key, host=base_profile(url, None), timeout=30.0) as client:
        try:
            return tuple(model.id for model in await client.models())
        except (APIError, ResponseError) as error:
            if getattr(error, "status", None) in (404, 405, 501) or isinstance(error, ResponseError):
                return ()
            raise


def _known_prices(url: str, model: str) -> PriceBook | None:
    """The official prices, where they know the endpoint."""
    book = PriceBook.builtin()
    host = base_profile(url, model)
    try:
        book.worst(host=host.name, model=model, mode="standard", prompt_tokens=1, max_tokens=1)
    except PriceNotFound:
        return None
    return book


def _spent(ledger: Ledger, began: datetime) -> Money:
    rows = ledger.spend(since=began, by=("tag:probe",))
    return sum((row.total for row in rows if row.key["tag:probe"]), Money(0))


def _show(probe: Probe, text: str, spent: Money | None, written: Path | None, output: Output) -> None:
    if output.as_json:
        output.document(
            {
                "findings": [vars(finding) for finding in probe.findings],
                "requests": probe.requests,
                "spent": spent,
                "profile": text,
                "written": written,
            }
        )
        return
    found = table("what", "", "detail")
    for finding in probe.findings:
        found.add_row(finding.name, _MARKS[finding.verdict], finding.detail)
    output.print(found)
    cost = "not booked: no price is known" if spent is None else f"{money(spent)} booked"
    output.note(f"{probe.requests} requests, {cost}")
    if written is None:
        output.print()
        output.print(text.rstrip(), whole=True)
    else:
        output.note(f"profile written to {written}: use it with --host {written}, or HostProfile.load")
