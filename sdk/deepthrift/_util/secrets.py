"""What must not be shown or written: the headers that hold keys, and the secrets in URLs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from deepthrift_pricing.shared.urls import HIDDEN, shown_url, url_secrets, without_secrets_in

__all__ = ["HIDDEN", "is_secret", "shown", "shown_url", "url_secrets", "without_secrets_in"]

_SECRET_NAME: Final = re.compile(r"auth|cookie|key|token|secret|password|credential|signature", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether a header, field or query parameter of this name holds a secret, by the habits of the trade."""
    return _SECRET_NAME.search(name) is not None


def shown(headers: Mapping[str, str]) -> dict[str, str]:
    """`headers` for people to read: what may be a secret is hidden."""
    return {name: HIDDEN if is_secret(name) else value for name, value in headers.items()}
