"""Rows of the ledger's tables as objects, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, cast

from deepthrift_pricing._store.protocol import Row, Value
from deepthrift_pricing._values.attempt import UNKNOWN_IDENTITY, Attempt, AttemptRequest, Identity, Purpose, Status
from deepthrift_pricing._values.build import build
from deepthrift_pricing._values.cost import Cost
from deepthrift_pricing._values.money import Currency, Money
from deepthrift_pricing._values.usage import Certainty, Mode, Usage
from deepthrift_pricing._values.window import micros, moment

_USAGE: Final = "prompt_tokens, cache_hit_tokens, completion_tokens, reasoning_tokens, usage_certainty, usage_notes"
_SELECT_USAGE: Final = f"{_USAGE}, requests"
_COLUMNS: Final = (
    "id, call_id, group_id, purpose, host, model, mode, status, started_at, lease_until, ended_at, currency, "
    "reserved_pico, booked_pico, cache_hit_pico, cache_miss_pico, completion_pico, reasoning_pico, certainty, "
    f"prompt_bound, max_tokens, {_USAGE}, price_ids, tags, finish_reason, http_status, error, "
    "service_tier, requests, requests_pico, answered_model, fingerprint, effort"
)
SELECT: Final = f"SELECT {_COLUMNS} FROM attempts"  # noqa: S608  # constant text
SELECT_USAGE: Final = f"SELECT {_SELECT_USAGE} FROM attempts"  # noqa: S608  # constant text
INSERT: Final = f"INSERT INTO attempts ({_COLUMNS}) VALUES ({', '.join('?' * 38)}) ON CONFLICT (id) DO NOTHING"  # noqa: S608  # constant text
END: Final = (
    "UPDATE attempts SET status = ?, ended_at = ?, booked_pico = ?, cache_hit_pico = ?, cache_miss_pico = ?, "
    "completion_pico = ?, reasoning_pico = ?, certainty = ?, prompt_tokens = ?, cache_hit_tokens = ?, "
    "completion_tokens = ?, reasoning_tokens = ?, usage_certainty = ?, usage_notes = ?, price_ids = ?, "
    "finish_reason = ?, http_status = ?, error = ?, service_tier = COALESCE(?, service_tier), requests = ?, "
    "requests_pico = ?, answered_model = ?, fingerprint = ? WHERE id = ? AND status = ?"
)

END_AS_KNOWN: Final = f"{END} AND (SELECT value FROM ledger WHERE name = 'budgets_version') = ?"  # noqa: S608  # constant text
"""The same unless another process has added a scope: an attempt's end is counted in all of them."""


class Outcome(NamedTuple):
    """How an attempt ended."""

    status: Status
    ended_at: int | None
    cost: Cost
    usage: Usage | None
    finish_reason: str | None
    http_status: int | None
    error: str | None
    identity: Identity = UNKNOWN_IDENTITY
    service_tier: str | None = None
    """The tier that served it; `None`: the one that was requested."""


def held(worst: Money, price_ids: tuple[str, ...]) -> Cost:
    """The worst case as a cost, where nothing is known yet; all of it stands under completion."""
    nothing = Money(0, worst.currency)
    return build(
        Cost,
        total=worst,
        cache_hit=nothing,
        cache_miss=nothing,
        completion=worst,
        reasoning=nothing,
        certainty="unknown",
        price_ids=price_ids,
    )


dump: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Compact JSON."""
_dump_ids: Final = lru_cache(maxsize=256)(dump)
"""The same few price rows come again and again."""


@lru_cache(maxsize=256)
def _dump_tags(tags: tuple[tuple[str, str], ...]) -> str:
    return dump(dict(tags))


def reservation(request: AttemptRequest, now: int, lease_until: int) -> tuple[Value, ...]:
    """The row of an attempt that may now be sent."""
    worst = request.worst.pico
    return (
        request.attempt_id,
        request.call_id,
        request.group_id,
        request.purpose,
        request.host,
        request.model,
        request.mode,
        "reserved",
        now,
        lease_until,
        None,
        request.worst.currency,
        worst,
        worst,
        0,
        0,
        worst,
        0,
        "unknown",
        request.prompt_tokens,
        request.max_tokens,
        None,
        None,
        None,
        None,
        None,
        None,
        _dump_ids(request.price_ids),
        _dump_tags(tuple(request.tags.items())),
        None,
        None,
        None,
        request.service_tier,
        None,
        None,
        None,
        None,
        request.effort,
    )


def ending(before: Attempt, outcome: Outcome) -> tuple[Value, ...]:
    """The values of `END`, which changes the row only if its status is still the one of `before`."""
    cost, usage = outcome.cost, outcome.usage
    counts: tuple[Value, ...] = (None,) * 6
    if usage is not None:
        counts = (
            usage.prompt_tokens,
            usage.cache_hit_tokens,
            usage.completion_tokens,
            usage.reasoning_tokens,
            usage.certainty,
            dump(usage.notes) if usage.notes else None,
        )
    return (
        outcome.status,
        outcome.ended_at,
        cost.total.pico,
        cost.cache_hit.pico,
        cost.cache_miss.pico,
        cost.completion.pico,
        cost.reasoning.pico,
        cost.certainty,
        *counts,
        _dump_ids(cost.price_ids),
        outcome.finish_reason,
        outcome.http_status,
        outcome.error,
        outcome.service_tier,
        dump(dict(usage.requests)) if usage is not None and usage.requests else None,
        cost.requests.pico or None,
        *outcome.identity,
        before.id,
        before.status,
    )


def ended(before: Attempt, outcome: Outcome) -> Attempt:
    """The attempt after `outcome`."""
    fields = before.__dict__ | {
        "status": outcome.status,
        "ended_at": None if outcome.ended_at is None else moment(outcome.ended_at),
        "cost": outcome.cost,
        "usage": outcome.usage,
        "finish_reason": outcome.finish_reason,
        "http_status": outcome.http_status,
        "error": outcome.error,
        "service_tier": outcome.service_tier or before.service_tier,
        "answered_model": outcome.identity.model,
        "fingerprint": outcome.identity.fingerprint,
    }
    return build(Attempt, **fields)


def attempt_of(row: Row) -> Attempt:
    """The attempt in a row of `SELECT`. The ledger's own tables keep the invariants, so nothing is checked again."""
    (
        id_,
        call_id,
        group_id,
        purpose,
        host,
        model,
        mode,
        status,
        started_at,
        _lease_until,
        ended_at,
        currency_text,
        reserved,
        booked,
        hit,
        miss,
        completion,
        reasoning,
        certainty,
        _prompt_bound,
        _max_tokens,
        *counts,
        price_ids,
        tags,
        finish_reason,
        http_status,
        error,
        service_tier,
        requests,
        _requests_pico,
        answered_model,
        fingerprint,
        effort,
    ) = row
    currency = cast("Currency", currency_text)
    cost = build(
        Cost,
        total=Money(cast("int", booked), currency),
        cache_hit=Money(cast("int", hit), currency),
        cache_miss=Money(cast("int", miss), currency),
        completion=Money(cast("int", completion), currency),
        reasoning=Money(cast("int", reasoning), currency),
        certainty=cast("Certainty", certainty),
        price_ids=tuple(json.loads(cast("str", price_ids))),
    )
    return build(
        Attempt,
        id=cast("str", id_),
        call_id=cast("str", call_id),
        group_id=cast("str", group_id),
        purpose=cast("Purpose", purpose),
        host=cast("str", host),
        model=cast("str", model),
        mode=cast("Mode", mode),
        status=cast("Status", status),
        started_at=moment(cast("int", started_at)),
        ended_at=None if ended_at is None else moment(cast("int", ended_at)),
        reserved=Money(cast("int", reserved), currency),
        usage=usage_of((*counts, requests)),
        cost=cost,
        finish_reason=cast("str | None", finish_reason),
        http_status=cast("int | None", http_status),
        error=cast("str | None", error),
        service_tier=cast("str | None", service_tier),
        effort=cast("str | None", effort),
        answered_model=cast("str | None", answered_model),
        fingerprint=cast("str | None", fingerprint),
        tags=cast("Mapping[str, str]", json.loads(cast("str", tags))),
    )


def usage_of(counts: Sequence[Value]) -> Usage | None:
    """The usage in a row of `SELECT_USAGE`, or `None` where none was reported."""
    prompt, hit, completion, reasoning, certainty, notes, requests = counts
    if certainty is None:
        return None
    prompt, hit = cast("int", prompt), cast("int", hit)
    return build(
        Usage,
        prompt_tokens=prompt,
        cache_hit_tokens=hit,
        cache_miss_tokens=prompt - hit,
        cache_write_tokens=None,
        completion_tokens=cast("int", completion),
        reasoning_tokens=cast("int", reasoning),
        requests={} if requests is None else cast("Mapping[str, int]", json.loads(cast("str", requests))),
        certainty=cast("Certainty", certainty),
        notes=() if notes is None else tuple(json.loads(cast("str", notes))),
    )


def reserved_attempt(request: AttemptRequest, now: int) -> Attempt:
    """The attempt that a reservation makes, without reading it back."""
    return build(
        Attempt,
        id=request.attempt_id,
        call_id=request.call_id,
        group_id=request.group_id,
        purpose=request.purpose,
        host=request.host,
        model=request.model,
        mode=request.mode,
        status="reserved",
        started_at=moment(now),
        ended_at=None,
        reserved=request.worst,
        usage=None,
        cost=held(request.worst, request.price_ids),
        finish_reason=None,
        http_status=None,
        error=None,
        service_tier=request.service_tier,
        effort=request.effort,
        answered_model=None,
        fingerprint=None,
        tags=dict(request.tags),
    )


def unsent_attempt(request: AttemptRequest) -> Attempt:
    """The attempt that one is for which nothing is reserved, because it is answered without being sent."""
    held_back = reserved_attempt(request, micros(request.started_at))
    return held_back.model_copy(update={"status": "released", "cost": Cost.zero(request.worst.currency)})


__all__ = [
    "END",
    "END_AS_KNOWN",
    "INSERT",
    "SELECT",
    "SELECT_USAGE",
    "Outcome",
    "attempt_of",
    "dump",
    "ended",
    "ending",
    "held",
    "micros",
    "reservation",
    "reserved_attempt",
    "unsent_attempt",
    "usage_of",
]
