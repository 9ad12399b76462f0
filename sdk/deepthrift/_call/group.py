"""Several calls that make up one answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

from deepthrift._types.errors import DeepthriftError, RequestInfo
from deepthrift._types.reply import Reply
from deepthrift_pricing import Cost, Money, new_id


class Group:
    """The calls of one answer so far, and what they add up to."""

    def __init__(self, group_id: str | None, url: str) -> None:
        self.id = group_id or new_id("group")
        self._url = url
        self.replies: list[Reply] = []
        self._started = time.monotonic()

    @property
    def attempt_ids(self) -> tuple[str, ...]:
        """Every attempt of every reply, in order."""
        return tuple(attempt.id for reply in self.replies for attempt in reply.attempts)

    @property
    def spend(self) -> Money | None:
        """What the replies cost, or `None` before the first."""
        if not self.replies:
            return None
        return reduce(add, (reply.cost.total for reply in self.replies))

    def fields(self) -> dict[str, Any]:
        """The fields of a reply that ends like the last one and carries the attempts, usage and cost of all."""
        costs = [reply.cost for reply in self.replies]
        return {
            **dict(self.replies[-1]),
            "attempts": tuple(attempt for reply in self.replies for attempt in reply.attempts),
            "usage": reduce(add, (reply.usage for reply in self.replies)),
            "cost": Cost.sum(costs, costs[0].total.currency),
            "warnings": tuple(dict.fromkeys(warning for reply in self.replies for warning in reply.warnings)),
            "cached": all(reply.cached for reply in self.replies),
            "seconds": time.monotonic() - self._started,
        }

    def annotate(self, error: DeepthriftError, messages: int) -> None:
        """Add what was asked for, and what all replies cost, to the error of a further call."""
        if error.request is None and self.replies:
            error.request = request_info(self.replies[-1], self._url, messages)
        error.attempt_ids = _joined(self.attempt_ids, error.attempt_ids)
        earlier = self.spend
        if earlier is not None:
            error.spend = earlier if error.spend is None else earlier + error.spend


def _joined(earlier: Sequence[str], later: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*earlier, *later]))


def request_info(reply: Reply, url: str, messages: int) -> RequestInfo:
    """What was asked for, told from the answer."""
    return RequestInfo(
        host=reply.host,
        url=url,
        model=reply.model,
        mode=reply.requested_mode,
        messages=messages,
        prompt_tokens=reply.usage.prompt_tokens,
        call_id=reply.call_id,
    )
