"""The unit of account: one row for each request that left, or was about to leave, the machine."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing._values.cost import Cost
from deepthrift_pricing._values.money import Money
from deepthrift_pricing._values.usage import Mode, Usage

Purpose: TypeAlias = Literal["answer", "sample", "verify", "escalate", "audit", "repair"]
"""Why an attempt was made: the plain answer, a further sample, a check, an escalation, an audit or a repair."""

Status: TypeAlias = Literal["reserved", "settled", "released", "unknown"]
"""`reserved`: under way. `settled`: booked. `released`: known not to be billed. `unknown`: held at its worst case."""


_RANDOM: Final = random.Random()  # noqa: S311  # ids are unique, not secret
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_RANDOM.seed)


def new_id(prefix: str) -> str:
    """A sortable unique id: milliseconds since 1970 and 64 random bits, e.g. `att-0199a1b2c3d4-5e6f…`."""
    return f"{prefix}-{time.time_ns() // 1_000_000:012x}-{_RANDOM.getrandbits(64):016x}"


def utc_now() -> datetime:
    """The current moment, aware, in UTC."""
    return datetime.now(UTC)


class Identity(NamedTuple):
    """What a host says has answered: names that it may change behind the name that was asked for."""

    model: str | None = None
    """The `model` of the response."""
    fingerprint: str | None = None
    """Its `system_fingerprint`: the version of the model and of what serves it."""


UNKNOWN_IDENTITY: Final = Identity()


class AttemptRequest(BaseModel):
    """What has to be reserved before an attempt may be sent."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    attempt_id: str
    call_id: str
    """Attempts of one call (its retries, its passes) share it."""
    group_id: str
    """Calls of one routed answer share it; for a plain call it equals `call_id`."""
    purpose: Purpose = "answer"
    host: str
    model: str
    mode: Mode
    prompt_tokens: int
    """Prompt tokens to be sent, or an upper bound."""
    max_tokens: int
    """The most the completion can be, in tokens."""
    worst: Money
    """The most the attempt can cost: the prompt at the miss price and `max_tokens` at the output price."""
    price_ids: tuple[str, ...] = ()
    tags: Mapping[str, str] = {}
    service_tier: str | None = None
    """The host's service tier, such as `flex` or `priority`; `None`: its usual one."""
    effort: str | None = None
    """How deeply it thinks: a level of the host, or the most tokens to think with, such as `"2048"`. `None`: the host's
    default, or standard mode."""
    started_at: datetime


class Attempt(BaseModel):
    """One attempt, as the ledger holds it."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    id: str
    call_id: str
    group_id: str
    purpose: Purpose = "answer"
    host: str
    model: str
    mode: Mode
    status: Status
    started_at: datetime
    ended_at: datetime | None = None
    reserved: Money
    usage: Usage | None = None
    """`None` while under way, and when nothing is known."""
    cost: Cost
    """What was booked; the worst case, marked `unknown`, while nobody knows better."""
    finish_reason: str | None = None
    """Why the answer ended; one that was `released` was answered without being sent, by a cache for one."""
    http_status: int | None = None
    error: str | None = None
    """The error's class name when the attempt failed."""
    service_tier: str | None = None
    """The host's service tier, where the call asked for one."""
    effort: str | None = None
    """How deeply it was to think: a level of the host, or the most tokens to think with. `None`: the host's default, or
    standard mode; so are all attempts of ledgers from before 0.2."""
    answered_model: str | None = None
    """The model that the response names, which may differ from `model`."""
    fingerprint: str | None = None
    """The response's `system_fingerprint`."""
    tags: Mapping[str, str] = {}

    @property
    def seconds(self) -> float | None:
        """Wall-clock duration in seconds."""
        return None if self.ended_at is None else (self.ended_at - self.started_at).total_seconds()
