"""URLs without their secrets."""

from __future__ import annotations

from deepthrift_pricing._store.quiet import quiet
from deepthrift_pricing._store.url import safe_url
from deepthrift_pricing._values.shown_url import (
    HIDDEN,
    is_harmless,
    shown_query,
    shown_url,
    url_secrets,
    without_secrets_in,
)

__all__ = [
    "HIDDEN",
    "is_harmless",
    "quiet",
    "safe_url",
    "shown_query",
    "shown_url",
    "url_secrets",
    "without_secrets_in",
]
