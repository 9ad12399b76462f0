"""Several answers to one question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import add
from typing import overload

from deepthrift._types.reply import Reply
from deepthrift_pricing import Attempt, Cost, Usage


class Samples(Sequence[Reply]):
    """The answers, in no meaningful order.

    Where one request brought them all, the first reply carries its attempt and cost and the others carry none, so that
    sums over the replies are right either way.
    """

    def __init__(self, replies: Sequence[Reply], group_id: str) -> None:
        self._replies = tuple(replies)
        self.group_id = group_id
        """What joins their attempts in the ledger."""

    @overload
    def __getitem__(self, index: int) -> Reply: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Reply]: ...
    def __getitem__(self, index: int | slice) -> Reply | Sequence[Reply]:
        return self._replies[index]

    def __len__(self) -> int:
        return len(self._replies)

    def __iter__(self) -> Iterator[Reply]:
        return iter(self._replies)

    def __repr__(self) -> str:
        return f"<{len(self)} samples for {self.cost.total}>"

    @property
    def texts(self) -> tuple[str, ...]:
        """What each of them says."""
        return tuple(reply.text for reply in self._replies)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every request that was made for them."""
        return tuple(attempt for reply in self._replies for attempt in reply.attempts)

    @property
    def usage(self) -> Usage:
        """The tokens of all of them."""
        return reduce(add, (reply.usage for reply in self._replies))

    @property
    def cost(self) -> Cost:
        """What all of them cost."""
        return Cost.sum((reply.cost for reply in self._replies), self._replies[0].cost.total.currency)
