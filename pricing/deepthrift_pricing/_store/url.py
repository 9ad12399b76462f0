"""A ledger's URL, safe to show."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit


def safe_url(url: str) -> str:
    """`url` without its password, for messages and logs."""
    if "://" not in url or url.startswith("sqlite:"):
        return url  # as it was written: slashes count in the path of a file
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    settings = [(name, value) for name, value in parse_qsl(parts.query) if "pass" not in name.lower()]
    netloc = f"{user.partition(':')[0]}{at}{place}"
    return urlunsplit(parts._replace(netloc=netloc, query=urlencode(settings)))
