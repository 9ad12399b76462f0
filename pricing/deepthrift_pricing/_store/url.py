"""A ledger's URL, safe to show."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing._values.shown_url import parts_of

_SECRET: Final = re.compile(r"pass|secret|scram|token|credential", re.IGNORECASE)
"""Settings of a database's URL that must not be shown."""


def safe_url(url: str) -> str:
    """`url` without its password, for messages and logs."""
    if "://" not in url or url.startswith("sqlite:"):
        return url  # as it was written: slashes count in the path of a file
    scheme, user, place, query = parts_of(url)
    name = re.split(r"[:/?#]", user, maxsplit=1)[0]
    at = "@" if user or url.startswith(f"{scheme}@") else ""
    kept = "&".join(each for each in (query or "").split("&") if not _SECRET.search(unquote(each.partition("=")[0])))
    return f"{scheme}{name}{at}{place}{'?' if kept else ''}{kept}"


def without_schema(url: str) -> tuple[str, str]:
    """`url` as libpq takes it, to the letter, and the name of the schema that `?schema=…` says.

    Raises:
        ConfigurationError: The schema's name is impossible.
    """
    place, question, query = url.partition("?")
    kept: list[str] = []
    schema = "deepthrift"
    for setting in query.split("&") if question else ():
        name, _, value = setting.partition("=")
        if unquote(name) == "schema":
            schema = unquote(value)
        elif setting:
            kept.append(setting)
    if not schema or len(schema.encode("utf-8", "replace")) > 63 or "\0" in schema or schema.startswith("pg_"):
        raise ConfigurationError(f"{schema!r} cannot be the name of a schema; use letters, digits and underscores")
    return (f"{place}?{'&'.join(kept)}" if kept else place), schema
