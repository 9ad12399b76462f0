"""How a running engine is: asked of it over HTTP, without the client."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Final, Literal, TypeAlias, cast

EngineStatus: TypeAlias = Literal["asleep", "crashed", "ready", "unresponsive"]

_SECONDS: Final = 2.0
_MOST: Final = 2**20
"""Bytes of an answer that are read."""


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """The state of an engine.

    Attributes:
        status: `"ready"`; `"asleep"` after `idle_shutdown`, until the next call; `"crashed"`, until the next call
            starts it again; `"unresponsive"` if it runs and does not answer.
        pid: Of its process, or `None` if there is none.
        slots: Requests that it can answer at the same time.
        busy: How many it answers now.
        crashes: How often it has died since it was opened.
        memory: Bytes of memory that its process holds now, the file of the weights included; `None` where that cannot
            be told.
    """

    status: EngineStatus
    pid: int | None
    slots: int
    busy: int
    crashes: int
    memory: int | None


def busy_slots(url: str, key: str) -> int | None:
    """How many requests the engine at `url` answers now, or `None` if it does not tell. Takes up to 2 seconds."""
    request = urllib.request.Request(f"{url}/slots", headers={"Authorization": f"Bearer {key}"})  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_SECONDS) as answer:
            slots = cast("list[dict[str, object]]", json.loads(answer.read(_MOST)))
        return sum(slot["is_processing"] is True for slot in slots)
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return None  # an engine that dies while it answers ends in the middle of a line
