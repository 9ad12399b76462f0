"""How many tokens an attempt used, and how sure we are."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, NonNegativeInt, model_validator

Mode: TypeAlias = Literal["standard", "thinking"]
"""`standard` answers at once, `thinking` reasons first. One V3.1 checkpoint has both."""

Certainty: TypeAlias = Literal["exact", "estimated", "unknown"]
"""`exact`: the provider said so. `estimated`: counted by us. `unknown`: possibly billed, held at its bound."""


class Usage(BaseModel):
    """Tokens of one attempt, or the sum over several.

    `cache_hit_tokens + cache_miss_tokens == prompt_tokens`, and `reasoning_tokens` is a part of `completion_tokens`.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    prompt_tokens: NonNegativeInt
    """All prompt tokens, cached or not."""
    cache_hit_tokens: NonNegativeInt = 0
    """Prompt tokens that the provider read from its prefix cache."""
    cache_miss_tokens: NonNegativeInt
    """Prompt tokens that had to be processed."""
    cache_write_tokens: NonNegativeInt | None = None
    """Those of the misses that the host stored in its cache, which some bill at a price of its own; `None`: the host
    didn't say. The ledger doesn't keep it: what it cost is a part of the misses."""
    completion_tokens: NonNegativeInt
    """All generated tokens, reasoning included."""
    reasoning_tokens: NonNegativeInt = 0
    """Generated tokens that belong to the reasoning."""
    requests: Mapping[str, NonNegativeInt] = {}
    """Requests that are billed by themselves, by kind, such as `{"search": 2}`: what the host's own tools did."""
    certainty: Certainty = "exact"
    notes: tuple[str, ...] = ()
    """What had to be repaired or assumed, for a person to read."""

    @model_validator(mode="after")
    def _invariants(self) -> Self:
        if self.cache_hit_tokens + self.cache_miss_tokens != self.prompt_tokens:
            raise ValueError("cache hits and misses must add up to the prompt tokens")
        if self.reasoning_tokens > self.completion_tokens:
            raise ValueError("reasoning tokens are a part of the completion tokens")
        if self.cache_write_tokens is not None and self.cache_write_tokens > self.cache_miss_tokens:
            raise ValueError("tokens written to the cache are a part of the cache misses")
        return self

    @property
    def total_tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    @classmethod
    def of(
        cls,
        prompt: int,
        completion: int,
        *,
        cache_hit: int = 0,
        reasoning: int = 0,
        cache_write: int | None = None,
        requests: Mapping[str, int] | None = None,
        certainty: Certainty = "exact",
        notes: tuple[str, ...] = (),
    ) -> Usage:
        """A usage from its counts; the cache misses follow."""
        return cls(
            prompt_tokens=prompt,
            cache_hit_tokens=cache_hit,
            cache_miss_tokens=prompt - cache_hit,
            cache_write_tokens=cache_write,
            completion_tokens=completion,
            reasoning_tokens=reasoning,
            requests=requests or {},
            certainty=certainty,
            notes=notes,
        )

    @classmethod
    def sum(cls, usages: Iterable[Usage | None]) -> Usage:
        """The sum of the usages that are known; nothing, marked `unknown`, where none of several is."""
        given = list(usages)
        known = [usage for usage in given if usage is not None]
        if not known:
            return cls.of(0, 0, certainty="unknown" if given else "exact")
        return functools.reduce(operator.add, known)

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            cache_hit_tokens=self.cache_hit_tokens + other.cache_hit_tokens,
            cache_miss_tokens=self.cache_miss_tokens + other.cache_miss_tokens,
            cache_write_tokens=_written(self, other),
            completion_tokens=self.completion_tokens + other.completion_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            requests=add_requests(self.requests, other.requests),
            certainty=least_certain(self.certainty, other.certainty),
            notes=self.notes + other.notes,
        )


def add_requests(*counts: Mapping[str, int]) -> Mapping[str, int]:
    """The sum of counts by kind."""
    found: dict[str, int] = {}
    for each in counts:
        for kind, count in each.items():
            found[kind] = found.get(kind, 0) + count
    return found


def _written(*usages: Usage) -> int | None:
    """The tokens written to the cache by all of them; unknown where one that could have written doesn't say."""
    known = [0 if not usage.cache_miss_tokens else usage.cache_write_tokens for usage in usages]
    return None if None in known else sum(count or 0 for count in known)


def least_certain(*certainties: Certainty) -> Certainty:
    """The weakest of several: a sum is only as sure as its least sure part."""
    if "unknown" in certainties:
        return "unknown"
    return "estimated" if "estimated" in certainties else "exact"
