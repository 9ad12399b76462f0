"""What a dead engine died of, and how often it may be started again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from deepthrift._types.errors import EngineCrashed, EngineKeepsCrashing
from deepthrift.local._engine import machine as _machine
from deepthrift.local._engine import memory as _memory
from deepthrift.local._process.child import Child

WITHIN_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Crash:
    """The end of an engine's process.

    Attributes:
        code: Its exit code; negative is the signal that ended it.
        out_of_memory: Whether it ended because memory ran out; `None` where that cannot be told.
        log: The last lines of its log.
    """

    code: int
    out_of_memory: bool | None
    log: str

    @property
    def cause(self) -> str:
        """How it ended, for people."""
        if self.code == -9 and self.out_of_memory is not None:
            return _machine.KILLED_FOR_MEMORY if self.out_of_memory else _machine.KILLED_BY_SOMEONE
        if self.out_of_memory:
            return f"{_machine.describe_exit(self.code)}: it could not get the memory that it needed"
        return _machine.describe_exit(self.code)

    def error(self, *, gave_up: int = 0) -> EngineCrashed:
        """What to raise for it; with `gave_up`, after so many crashes."""
        tail = f"\nThe end of its log:\n{self.log}" if self.log else ""
        memory = " Take a smaller model or context, or fewer slots." if self.out_of_memory else ""
        if gave_up:
            often = f"{gave_up} times within {WITHIN_SECONDS / 60:.0f} minutes, the last time " if gave_up > 1 else ""
            return EngineKeepsCrashing(
                f"The engine died {often}{self.cause}, and is not started again.{memory} Open it anew to go on.{tail}",
                exit_code=self.code,
                out_of_memory=self.out_of_memory,
                log=self.log,
            )
        return EngineCrashed(
            f"The engine died {self.cause}. The next call starts it again.{memory}{tail}",
            exit_code=self.code,
            out_of_memory=self.out_of_memory,
            log=self.log,
        )


def crash_of(code: int, child: Child) -> Crash:
    """What a child that ended with `code` died of."""
    child.drain()
    log = child.log.tail()
    out_of_memory: bool | None = True if _memory.said_out_of_memory(log) else None
    if code == -9 and child.kills_before is not None and (now := _memory.kills()) is not None:
        out_of_memory = now > child.kills_before
    return Crash(code, out_of_memory, log)


class History:
    """The crashes of one engine: after a few within minutes, it is not started again.

    Args:
        most: Restarts that are made.
        within: Seconds within which they count.
        clock: For tests.
    """

    def __init__(
        self, most: int = 3, within: float = WITHIN_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._within = within
        self._clock = clock
        self._times: deque[float] = deque()
        self.total = 0
        """Crashes since the engine was opened."""
        self._gave_up: tuple[Crash, int] | None = None

    @property
    def refusal(self) -> EngineCrashed | None:
        """What to raise instead of starting it again, or `None` if it may be started."""
        return None if self._gave_up is None else self._gave_up[0].error(gave_up=self._gave_up[1])

    def add(self, crash: Crash) -> None:
        """Take note of a crash."""
        now = self._clock()
        self.total += 1
        self._times.append(now)
        while now - self._times[0] > self._within:
            self._times.popleft()
        if len(self._times) > self._most:
            self._gave_up = crash, len(self._times)
