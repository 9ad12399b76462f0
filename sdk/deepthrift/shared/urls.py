"""URLs and texts without their secrets."""

from __future__ import annotations

from deepthrift._util.secrets import shown_url, without_secrets_in

__all__ = [
    "shown_url",
    "without_secrets_in",
]
