"""Callers that wait for room, in the order in which they came."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from typing import Final

_NUMBERS: Final = count()


class Waiter:
    """One caller that waits, and the budgets that it waits for."""

    __slots__ = ("budgets", "gone", "number", "wake")

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        """Rouses the caller; may be called from any thread, and more than once."""
        self.budgets: frozenset[int] = frozenset()
        """The counts without room; empty until the first refusal."""
        self.number = next(_NUMBERS)
        """Its place in the order of coming."""
        self.gone = False
        """Whether it has left the queue, which it then can't join again."""


class Queue:
    """First come, first served, for each budget apart: a later caller never takes room that an earlier one waits for.

    Only the callers at the head of a budget ask the store, so a crowd that waits costs nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Waiter, None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, waiter: Waiter) -> None:
        """Puts a caller into its place; one that has left stays out."""
        with self._lock:
            if waiter.gone:
                return
            last = next(reversed(self._waiting), waiter)
            self._waiting[waiter] = None
            if last.number > waiter.number:  # it was refused later than who came after it
                self._waiting = dict.fromkeys(sorted(self._waiting, key=lambda each: each.number))

    def leave(self, waiter: Waiter) -> None:
        """Takes a caller out, and rouses those whose turn it is now."""
        with self._lock:
            waiter.gone = True
            self._waiting.pop(waiter, None)
        self.rouse()

    def blocked(self, budgets: frozenset[int], waiter: Waiter | None = None) -> bool:
        """Whether somebody already waits for one of `budgets`, before `waiter` if that one waits, too."""
        if not self._waiting:
            return False
        with self._lock:
            for other in self._waiting:
                if waiter is not None and other.number >= waiter.number:
                    return False
                if other.budgets & budgets:
                    return True
        return False

    def has_turn(self, waiter: Waiter) -> bool:
        """Whether nobody before `waiter` waits for a budget that it needs."""
        with self._lock:
            for other in self._waiting:
                if other is waiter:
                    return True
                if other.budgets & waiter.budgets:
                    return False
        return True

    def rouse(self) -> None:
        """Wakes the first caller of each budget."""
        if not self._waiting:
            return
        with self._lock:
            taken: set[int] = set()
            turn: list[Waiter] = []
            for waiter in self._waiting:
                if not taken & waiter.budgets:
                    turn.append(waiter)
                taken |= waiter.budgets
        for waiter in turn:
            waiter.wake()
