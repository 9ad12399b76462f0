"""The report page served live: a Starlette application that sends the page again when the ledger changes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from importlib.resources import files

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from deepthrift_pricing._ledger.ledger import Ledger
from deepthrift_pricing._prices.book import PriceBook
from deepthrift_pricing._prices.price import Price
from deepthrift_pricing._values.attempt import utc_now
from deepthrift_pricing._values.errors import ConfigurationError, LedgerError
from deepthrift_pricing._values.money import Currency
from deepthrift_pricing._values.zone import zone_of
from deepthrift_pricing.reports.page._data import gather
from deepthrift_pricing.reports.page._figures import need_matplotlib
from deepthrift_pricing.reports.page._html import paragraph
from deepthrift_pricing.reports.page._page import content, whole

__all__ = ["dashboard"]

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_KEEP_ALIVE = 15.0


class _Page:
    """The page's inner part, drawn again only when the ledger has changed."""

    def __init__(
        self, ledger: Ledger, past: timedelta | None, zone: str, currency: Currency, prices: PriceBook | None,
        compare: Sequence[Price],
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._past = past
        self._zone = zone
        self._currency: Currency = currency
        self._prices = prices
        self._compare = compare
        self._lock = threading.Lock()
        self._drawn: tuple[str, str] | None = None

    def now(self) -> tuple[str, str]:
        """What identifies the state of the ledger, and the page of that state. Slow; call it in a thread."""
        with self._lock:
            try:
                state = self._state()
                if self._drawn is None or self._drawn[0] != state:
                    self._drawn = (state, self._draw())
                return self._drawn
            except LedgerError as error:
                return str(error), paragraph(f"The ledger cannot be read: {error}", kind="warning")

    def _state(self) -> str:
        since = self._since()
        rows = self._ledger.spend(since=since, by=("status",))
        statuses = self._ledger.budget_status()
        told = [row.model_dump_json() for row in rows] + [
            f"{status.name} {status.part} {status.spent} {status.reserved} {status.window_start}" for status in statuses
        ]
        return "\n".join(told)

    def _since(self) -> datetime | None:
        return None if self._past is None else (utc_now() - self._past).replace(second=0, microsecond=0)

    def _draw(self) -> str:
        return content(
            gather(
                self._ledger,
                since=self._since(),
                until=None,
                zone=self._zone,
                currency=self._currency,
                prices=self._prices,
                compare=self._compare,
            )
        )


def dashboard(
    ledger: Ledger,
    *,
    past: timedelta | None = None,
    zone: str = "UTC",
    currency: Currency = "USD",
    prices: PriceBook | None = None,
    compare: Sequence[Price] = (),
    every: float = 1.0,
    hosts: Sequence[str] = ("127.0.0.1", "localhost", "[::1]"),
    closing: threading.Event | None = None,
) -> Starlette:
    """An application that shows `report_page` live; serve it, or mount it in one of yours.

    It asks for no password: mount it behind yours, or serve it on the loopback interface under a path that nobody
    can guess, as `deepthrift dashboard` does.

    Args:
        ledger: Where to read; nothing is changed. It stays open: close it when the application has ended.
        past: How far to look back; left out, to the first attempt.
        zone: The time zone whose hours, days and months are meant.
        currency: Attempts in the other currency are left out.
        prices: The prices that the calls were booked at.
        compare: Prices of models elsewhere.
        every: Seconds between two looks at the ledger.
        hosts: Names in the `Host` header that are answered; others are refused, so that no web page can reach this one
            through a name of its own.
        closing: Once it is set, open pages are let go, so that a server that waits for them can end.

    Raises:
        ConfigurationError: matplotlib is not installed, or there is no such zone.
    """
    need_matplotlib()
    try:
        zone_of(zone)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    closes = closing or threading.Event()
    page = _Page(ledger, past, zone, currency, prices, compare)

    async def index(request: Request) -> Response:
        _, inner = await asyncio.to_thread(page.now)
        status = '<p id="live" role="status" class="quiet" style="margin: .5rem 1rem 0">Connecting</p>'
        return HTMLResponse(whole(inner, head='<script src="live.js" defer></script>', before=status), headers=_HEADERS)

    async def script(request: Request) -> Response:
        text = files("deepthrift_pricing.reports.page").joinpath("live.js").read_text(encoding="utf-8")
        return Response(text, media_type="text/javascript", headers=_HEADERS)

    async def events(request: Request) -> Response:
        return StreamingResponse(_events(page, every, closes), media_type="text/event-stream", headers=_HEADERS)

    return Starlette(
        routes=[Route("/", index), Route("/live.js", script), Route("/events", events)],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
    )


async def _events(page: _Page, every: float, closing: threading.Event) -> AsyncIterator[str]:
    """The page whenever it has changed, and a comment in between, so that a dead connection is noticed."""
    seen = ""
    quiet = 0.0
    while not closing.is_set():
        state, inner = await asyncio.to_thread(page.now)
        if state != seen:
            seen, quiet = state, 0.0
            yield f"event: content\ndata: {json.dumps(inner)}\n\n"
        elif quiet >= _KEEP_ALIVE:
            quiet = 0.0
            yield ": nothing new\n\n"
        await asyncio.sleep(every)
        quiet += every
