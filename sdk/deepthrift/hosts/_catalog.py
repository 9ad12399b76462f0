"""Which profiles there are, and whose address a URL is, without reading more than one small index."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final, TypedDict
from urllib.parse import urlsplit

GENERIC: Final = "openai"
"""The profile of any other server."""
INDEX: Final = "index.json"
"""Written by `make hosts` from the profiles."""


class Entry(TypedDict, total=False):
    """What tells one profile from another; empty fields are left out."""

    url_hosts: list[str]
    ports: list[int]
    models: list[str]


@cache
def _index() -> Mapping[str, Entry]:
    found: Mapping[str, Entry] = json.loads(_read(INDEX))
    return found


def _read(name: str) -> str:
    from importlib import resources  # some milliseconds, with the first profile that is read

    return (resources.files("deepthrift.hosts") / name).read_text(encoding="utf-8")


def names() -> tuple[str, ...]:
    """The built-in profiles, sorted."""
    return tuple(sorted(_index()))


def text(name: str) -> str:
    """The TOML of the built-in profile `name`."""
    return _read(f"{name}.toml")


def model_text() -> str:
    """The TOML of what belongs to models, whichever host serves them."""
    return _read("models/efforts.toml")


def name_for(url: str, model: str | None) -> str:
    """The profile that `url` belongs to: by host name, by the port of a plain HTTP server, else the generic one."""
    parsed = urlsplit(url)
    index = _index()
    found = [name for name, entry in index.items() if owned(url, entry.get("url_hosts", ()))]
    if not found and parsed.scheme == "http":
        found = [name for name, entry in index.items() if parsed.port in entry.get("ports", ())]
    for name in found:
        if model is not None and model in index[name].get("models", ()):
            return name
    return found[0] if found else GENERIC


def owned(url: str, hosts: Sequence[str]) -> bool:
    """Whether the host name of `url` is one of `hosts`: a name, an ending that begins with a dot, or a `*` pattern."""
    name = (urlsplit(url).hostname or "").lower()
    return any(
        name.endswith(own) if own.startswith(".") else fnmatch.fnmatchcase(name, own) if "*" in own else name == own
        for own in hosts
    )
