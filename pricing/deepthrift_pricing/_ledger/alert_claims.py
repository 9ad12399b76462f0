"""Who sends an alert: one process, once."""

from __future__ import annotations

from typing import Literal, TypeAlias, cast

from deepthrift_pricing._store.protocol import Transaction

Claim: TypeAlias = Literal["yours", "another", "done"]
"""`yours`: deliver it. `another`: a process is at it, or died a moment ago. `done`: delivered, or given up."""


def claim(db: Transaction, key: str, sink: str, now: int, stale: int, most_tries: int) -> Claim:
    """Claims an alert that nobody has, or whose claim is from `stale` or before; times in microseconds since 1970."""
    if db.run(
        "INSERT INTO alerts (key, sink, claimed_at, tries) VALUES (?, ?, ?, 1) ON CONFLICT (key, sink) DO NOTHING",
        (key, sink, now),
    ):
        return "yours"
    row = db.one("SELECT claimed_at, tries, delivered_at FROM alerts WHERE key = ? AND sink = ?", (key, sink))
    claimed_at, tries, delivered_at = cast("tuple[int, int, int | None]", row)
    if delivered_at is not None or tries >= most_tries:
        return "done"
    if claimed_at > stale:
        return "another"
    db.run(
        "UPDATE alerts SET claimed_at = ?, tries = tries + 1 WHERE key = ? AND sink = ?",
        (now, key, sink),
    )
    return "yours"
