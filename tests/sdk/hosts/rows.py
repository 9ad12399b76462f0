"""One row per host: what its tests expect, read from the wire fixtures that `make hosts` writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from tests.support.behaviour import ReasoningField, UsageShape
from tests.support.dialect import Dialect

GOLDEN: Final = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class Row:
    """What a host's tests expect of it, and how the loopback server has to behave."""

    host: str
    dialect: Dialect | None
    """The switch that the server reads; none for hosts without one."""
    default: Literal["standard", "thinking"]
    """The mode that the server runs when it is told nothing."""
    reasoning: ReasoningField
    usage: UsageShape
    context: int
    limits: tuple[int | None, int | None]
    urls: tuple[str, ...]
    """Addresses that belong to it."""


def golden(name: str) -> dict[str, Any]:
    """The wire fixture of a host."""
    parts: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return parts


def _row(host: str) -> Row | None:
    values = golden(host).get("row")
    return values and Row(host, **{**values, "limits": tuple(values["limits"]), "urls": tuple(values["urls"])})


NAMES: Final = sorted(path.name.removesuffix(".json") for path in GOLDEN.glob("*.json"))
ROWS: Final[tuple[Row, ...]] = tuple(row for name in NAMES if (row := _row(name)) is not None)
