"""Serving the dashboard on the loopback interface."""

from __future__ import annotations

import importlib.util
import secrets
import sys
import threading
import webbrowser
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING

from deepthrift_pricing import PriceBook
from deepthrift_pricing.errors import ConfigurationError
from deepthrift_router.cli._money.ledger import open_ledger
from deepthrift_router.cli._money.reporting import book_of

if TYPE_CHECKING:
    from deepthrift_router.cli._shared.options import LedgerPlace
    from deepthrift_router.cli._shared.output import Output


def serve_dashboard(
    ledger: LedgerPlace | None,
    *,
    past: timedelta | None,
    zone: str,
    prices: str | None,
    port: int,
    opening: bool,
    output: Output,
) -> None:
    """Serve until Ctrl-C.

    Raises:
        ConfigurationError: An extra is missing, or the port is taken.
    """
    missing = [name for name in ("starlette", "uvicorn", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"the dashboard needs {', '.join(missing)}: pip install 'deepthrift[dashboard]'")
    import socket

    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from deepthrift_pricing.reports.dashboard import dashboard
    from deepthrift_router.cli._money.prices import price_book

    # Whoever else works on this machine can reach the port, too: the path is the key.
    path = f"/{secrets.token_urlsafe(16)}"
    with open_ledger(ledger) as opened, socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
            listening.listen()
        except OSError as error:
            raise ConfigurationError(f"port {port} cannot be used: {error.strerror}; leave --port out") from error
        closing = threading.Event()
        app = dashboard(
            opened,
            past=past,
            zone=zone,
            prices=price_book(prices) if prices else book_of(opened, None),
            compare=PriceBook.named("comparison").rows,
            closing=closing,
        )
        url = f"http://127.0.0.1:{listening.getsockname()[1]}{path}/"
        if output.as_json:
            output.line({"url": url})
        else:
            output.print(f"{url}\nCtrl-C ends it.", whole=True)
        sys.stdout.flush()
        if opening and not output.as_json:
            webbrowser.open(url)
        config = uvicorn.Config(
            Starlette(routes=[Mount(path, app=app)]),
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=5,
            lifespan="off",
        )

        class Server(uvicorn.Server):
            def handle_exit(self, sig: int, frame: FrameType | None) -> None:
                closing.set()  # or the server would wait for the pages that are open
                super().handle_exit(sig, frame)

        Server(config).run(sockets=[listening])
