"""Connections as a client makes them."""

from __future__ import annotations

from deepthrift._call.endpoints.resolve import key_from_environment
from deepthrift._net.choose import transport_for
from deepthrift._net.network import Network

__all__ = [
    "Network",
    "key_from_environment",
    "transport_for",
]
