"""What runs an engine: this process's own child, or a keeper that several processes share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from deepthrift._types.errors import EngineCrashed
from deepthrift.local._engine.settings import Plan


@dataclass(frozen=True, slots=True)
class Running:
    """An engine process that answers."""

    url: str
    """Without a trailing slash and without `/v1`."""
    key: str = field(repr=False)
    pid: int
    generation: int
    """1 for the first process, one more for each that was started after it."""
    plan: Plan = field(repr=False)


class Runner(ABC):
    """Keeps an engine running. Every method may be called from several threads and event loops."""

    @property
    @abstractmethod
    def open(self) -> bool:
        """Whether it has been started and not closed; the engine itself may be asleep."""

    @property
    @abstractmethod
    def last(self) -> Running | None:
        """The process that was started last."""

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """Of the engine's process, while there is one."""

    @property
    @abstractmethod
    def crashes(self) -> int:
        """How often it has died since it was opened."""

    @abstractmethod
    async def start(self) -> Running:
        """Start it; see `Engine.__aenter__` for what it raises."""

    @abstractmethod
    async def begin(self) -> Running:
        """A request is about to be sent: the engine to send it to, started again if it sleeps or has died.

        Raises:
            EngineKeepsCrashing: It has died too often.
            EngineError: It did not come up.
        """

    @abstractmethod
    def end(self) -> None:
        """The request has ended."""

    @abstractmethod
    async def crash(self, of: Running | None, within: float) -> EngineCrashed | None:
        """What to raise if that process has died, or `None` if it lives or was closed on purpose.

        Args:
            of: A process; left out, the one that was started last.
            within: Seconds to wait for the death to show.
        """

    @abstractmethod
    def log_tail(self) -> str:
        """The last lines of the engine's log."""

    @abstractmethod
    async def aclose(self) -> None:
        """Stop it, or leave it to the others that use it. Safe to call twice; if cancelled, it stops at once."""

    @abstractmethod
    def kill(self) -> None:
        """Stop it now."""
