"""Ports of this machine."""

from __future__ import annotations

import socket


def dead_port() -> int:
    """A loopback port on which nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
