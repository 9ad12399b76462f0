"""What a client may say of its engine; apart from the engine, so that a client without one need not import it."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict


class EngineOptions(TypedDict, total=False):
    """The settings of an engine that `AsyncClient.local` takes, too; see `Engine`."""

    context: int | None
    slots: int
    threads: int | None
    template: str | Path | None
    share: bool | str
    idle_shutdown: float | None
