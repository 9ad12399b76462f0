"""One attempt as a row of a file."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Final, TypeAlias

from deepthrift_pricing._values.attempt import Attempt

Cell: TypeAlias = str | int | None
TypedCell: TypeAlias = str | int | Decimal | datetime | None

COLUMNS: Final[tuple[str, ...]] = (
    "id", "call_id", "group_id", "purpose", "host", "model", "mode", "status", "started_at", "ended_at", "currency",
    "reserved", "cost", "cost_cache_hit", "cost_cache_miss", "cost_completion", "cost_reasoning", "certainty",
    "prompt_tokens", "cache_hit_tokens", "cache_miss_tokens", "completion_tokens", "reasoning_tokens", "price_ids",
    "finish_reason", "http_status", "error", "tags", "service_tier", "answered_model", "fingerprint",
    "cost_requests", "requests", "effort",
)  # fmt: skip
"""Amounts are exact decimals and moments are in UTC: text in CSV and JSON Lines, numbers and timestamps in Parquet.
`tags` and `requests` are JSON. No prompt, no answer, no key."""

AMOUNTS: Final = frozenset(name for name in COLUMNS if name.startswith("cost")) | {"reserved"}
MOMENTS: Final = frozenset(("started_at", "ended_at"))
COUNTS: Final = frozenset(name for name in COLUMNS if name.endswith("_tokens")) | {"http_status"}
TEXTS: Final = frozenset(COLUMNS) - AMOUNTS - MOMENTS - COUNTS


def typed(attempt: Attempt) -> dict[str, TypedCell]:
    """One attempt with the keys of `COLUMNS`, amounts and moments as such."""
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
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "currency": cost.currency,
        "reserved": attempt.reserved.amount,
        "cost": cost.amount,
        "cost_cache_hit": cost.cache_hit.amount,
        "cost_cache_miss": cost.cache_miss.amount,
        "cost_completion": cost.completion.amount,
        "cost_reasoning": cost.reasoning.amount,
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
        "service_tier": attempt.service_tier,
        "answered_model": attempt.answered_model,
        "fingerprint": attempt.fingerprint,
        "cost_requests": cost.requests.amount,
        "requests": json.dumps(dict(usage.requests), sort_keys=True) if usage and usage.requests else None,
        "effort": attempt.effort,
    }


def flat(attempt: Attempt) -> dict[str, Cell]:
    """The same with amounts and moments as text."""
    return {name: _plain(value) for name, value in typed(attempt).items()}


def _plain(value: TypedCell) -> Cell:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, datetime) else value
