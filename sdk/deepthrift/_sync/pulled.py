"""What an awaited stream brings, for code without `await`."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Iterator
from typing import Protocol, Self, TypeVar

E = TypeVar("E")


T = TypeVar("T")


class Runs(Protocol):
    """Runs coroutines for code without `await`: a loop in a thread of its own, or a client that has one."""

    def run(self, work: Coroutine[object, object, T]) -> T:
        """The result of `work`."""
        ...


class Batched(Protocol[E]):
    """A stream that hands over all it has at once: one journey to its loop for many events."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        ...

    async def batch(self) -> list[E]:
        """All events that have come since the last look, at least one; none only at the end."""
        ...

    async def aclose(self) -> None:
        """Stop the upstream and book what arrived."""
        ...


class Pulled(Iterator[E]):
    """The events of a stream that runs on a client's loop. Leaving the loop or the block in any way stops it."""

    def __init__(self, loop: Runs, stream: Batched[E]) -> None:
        self._loop = loop
        self._source = stream
        self._buffer: deque[E] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[E]:
        try:
            while self._filled():
                while self._buffer:
                    yield self._buffer.popleft()
        finally:
            self.close()

    def __next__(self) -> E:
        if not self._filled():
            raise StopIteration
        return self._buffer.popleft()

    def _filled(self) -> bool:
        """Whether there is an event, now or after waiting for it."""
        if not self._buffer:
            self._buffer.extend(self._loop.run(self._source.batch()))
        return bool(self._buffer)

    def close(self) -> None:
        """Stop the upstream and book what arrived. Safe to call twice."""
        self._buffer.clear()
        if not self._source.ended:
            self._loop.run(self._source.aclose())
