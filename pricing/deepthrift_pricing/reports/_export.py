"""Attempts as files for other tools: CSV, JSON Lines, Parquet."""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

from deepthrift_pricing._attempt import Attempt
from deepthrift_pricing._ledger import Ledger
from deepthrift_pricing.errors import ConfigurationError

Format: TypeAlias = Literal["csv", "jsonl", "parquet"]
"""A file format that the ledger can be exported to."""

Cell: TypeAlias = str | int | None

COLUMNS: Final[tuple[str, ...]] = (
    "id", "call_id", "group_id", "purpose", "host", "model", "mode", "status", "started_at", "ended_at", "currency",
    "reserved", "cost", "cost_cache_hit", "cost_cache_miss", "cost_completion", "cost_reasoning", "certainty",
    "prompt_tokens", "cache_hit_tokens", "cache_miss_tokens", "completion_tokens", "reasoning_tokens", "price_ids",
    "finish_reason", "http_status", "error", "tags", "cost_requests", "requests", "service_tier",
)  # fmt: skip
"""Amounts are exact decimals as text; moments are ISO 8601 in UTC; `tags` and `requests` are JSON. No prompt, no
answer, no key."""


def export(
    ledger: Ledger,
    path: Path | str,
    *,
    format: Format | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> int:
    """Write attempts to a file, in the order in which they started; an existing file is replaced.

    Args:
        ledger: Where to read.
        path: The file to write.
        format: Left out, the ending of `path` says it.
        since: Attempts that started from this moment on.
        until: Attempts that started before this moment.

    Returns:
        How many attempts were written.

    Raises:
        ConfigurationError: The format is unknown, or Parquet is wanted and `pyarrow` is not installed.
        OSError: The file cannot be written.
    """
    path = Path(path)
    chosen = format or path.suffix.removeprefix(".").lower()
    attempts = [a for a in ledger.attempts(since=since) if until is None or a.started_at < until]
    rows = (flat(attempt) for attempt in attempts)
    if chosen == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([row[name] for name in COLUMNS] for row in rows)
    elif chosen == "jsonl":
        with path.open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    elif chosen == "parquet":
        _parquet(path, rows)
    else:
        raise ConfigurationError(f"{chosen!r} is no format to export to: use csv, jsonl or parquet")
    return len(attempts)


def flat(attempt: Attempt) -> dict[str, Cell]:
    """One attempt as a flat row with the keys of `COLUMNS`."""
    cost, usage = attempt.cost, attempt.usage
    return {
        "id": attempt.id,
        "call_id": attempt.call_id,
        "group_id": attempt.group_id,
        "purpose": attempt.purpose,
        "host": attempt.host,
        "model": attempt.model,
        "mode": attempt.mode,
        "status": attempt.status,
        "started_at": attempt.started_at.isoformat(),
        "ended_at": attempt.ended_at.isoformat() if attempt.ended_at else None,
        "currency": cost.currency,
        "reserved": f"{attempt.reserved.amount:f}",
        "cost": f"{cost.amount:f}",
        "cost_cache_hit": f"{cost.cache_hit.amount:f}",
        "cost_cache_miss": f"{cost.cache_miss.amount:f}",
        "cost_completion": f"{cost.completion.amount:f}",
        "cost_reasoning": f"{cost.reasoning.amount:f}",
        "certainty": cost.certainty,
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "cache_hit_tokens": usage.cache_hit_tokens if usage else None,
        "cache_miss_tokens": usage.cache_miss_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "reasoning_tokens": usage.reasoning_tokens if usage else None,
        "price_ids": " ".join(cost.price_ids),
        "finish_reason": attempt.finish_reason,
        "http_status": attempt.http_status,
        "error": attempt.error,
        "tags": json.dumps(dict(attempt.tags), ensure_ascii=False, sort_keys=True),
        "cost_requests": f"{cost.requests.amount:f}",
        "requests": json.dumps(dict(usage.requests), sort_keys=True) if usage and usage.requests else None,
        "service_tier": attempt.service_tier,
    }


class _Table(Protocol):
    def from_pylist(self, rows: list[dict[str, Cell]], schema: object) -> object: ...


def _parquet(path: Path, rows: Iterator[dict[str, Cell]] | Iterable[dict[str, Cell]]) -> None:
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigurationError("pyarrow is not installed: pip install 'deepthrift[report]'") from error
    counts = {name for name in COLUMNS if name.endswith("_tokens")} | {"http_status"}
    schema = arrow.schema([(name, arrow.int64() if name in counts else arrow.string()) for name in COLUMNS])
    table: _Table = arrow.Table
    parquet.write_table(table.from_pylist(list(rows), schema), path)
