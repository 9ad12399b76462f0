"""URLs as people may see them: without passwords, and without what their queries may hide."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote, unquote_plus

HIDDEN: Final = "***"
_HARMLESS: Final = frozenset(
    {
        "after", "alt", "api-version", "api_version", "application_name", "channel_binding", "connect_timeout",
        "deployment", "format", "gssencmode", "host", "hostaddr", "keepalives", "limit", "load_balance_hosts",
        "mode", "model", "order", "page", "port", "region", "schema", "sslcert", "sslmode", "sslrootcert",
        "target_session_attrs", "version",
    }
)  # fmt: skip
"""Parameters that tell where a request goes; the values of all others are hidden, whatever their names."""
_HOST: Final = re.compile(r"[^:]*(:\d*)?|\[[^\]]*\](:\d*)?")
_SHORTEST: Final = 6
"""Shorter values guard nothing, and would be struck out of every message."""


def shown_url(url: str) -> str:
    """`url` without its user, password and fragment, and with the values of its query hidden.

    Only parameters that are known to be harmless, such as `api-version`, keep their values.
    """
    scheme, _, place, query = parts_of(url)
    shown = f"{scheme}{place}"
    return shown if query is None else f"{shown}?{shown_query(query)}"


def without_secrets_in(url: str) -> str:
    """`url` for a file: without its user, and without the parameters that `shown_url` hides."""
    scheme, _, place, query = parts_of(url)
    kept = "&".join(each for each in (query or "").split("&") if _shown_parameter(each) == each != HIDDEN)
    return f"{scheme}{place}" + (f"?{kept}" if kept else "")


def url_secrets(url: str) -> tuple[str, ...]:
    """The texts that must not be shown of `url`, as they are written in it and as they are meant."""
    _, user, _, query = parts_of(url)
    found = [user, *user.split(":", 1)[1:]]
    for parameter in (query or "").split("&"):
        name, equals, value = parameter.partition("=")
        if not is_harmless(name):
            found += [value if equals else name]
    _, _, fragment = url.partition("#")
    forms = {form for each in [*found, fragment] for form in (each, unquote(each), unquote_plus(each))}
    return tuple(sorted((form for form in forms if len(form) >= _SHORTEST), key=len, reverse=True))


def is_harmless(name: str) -> bool:
    """Whether the value of a query parameter of this name may be shown."""
    return name.lower() in _HARMLESS


def shown_query(query: str) -> str:
    """A query with the values hidden that `shown_url` hides."""
    return "&".join(map(_shown_parameter, query.split("&")))


def _shown_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    if not equals:
        return HIDDEN if parameter else ""
    return f"{name}={value if is_harmless(unquote(name)) or not value else HIDDEN}"


def parts_of(url: str) -> tuple[str, str, str, str | None]:
    """The scheme with its slashes, the user with the password, the place, and the query.

    A password may hold characters that should have been encoded: what stands before the last @ is never shown.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        scheme, rest = "", url
    main, _, fragment = rest.partition("#")
    if "@" in fragment:
        main = rest
    before, question, query = main.partition("?")
    authority = before.partition("/")[0]
    clean = "@" not in authority and _HOST.fullmatch(authority) is not None
    if "@" in query and "@" not in before and not clean:
        cut = main.rfind("@") + 1
        tail, question, query = main[cut:].partition("?")
        before = main[:cut] + tail
    if clean and scheme.lower() in ("http", "https"):
        user, place = "", before  # an @ in a path is part of it
    else:
        user, _, place = before.rpartition("@")
    return f"{scheme}{mark}", user, place, query if question else None
