"""Limits on what is read, apart from the HTTP stack."""

from __future__ import annotations

from typing import Final

LARGEST_RESPONSE: Final = 64 * 2**20
"""Bytes of a response that are read, unless the client says otherwise."""
