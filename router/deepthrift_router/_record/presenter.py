"""What a routed stream shows, and when: at once, or only what has been verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from deepthrift import ReasoningDelta, StreamEvent, TextDelta, ToolCallDelta

StreamMode: TypeAlias = Literal["verified", "optimistic"]
"""`verified`: no text before it is the answer. `optimistic`: text at once; `Escalated` takes it back."""


@dataclass(frozen=True, slots=True)
class Escalated:
    """What was shown so far is not the answer: forget it. What follows takes its place."""

    to: str
    """What follows: the name of a tier, such as `thinking`. `sample`: another standard sample, with which a third one
    sides. `standard`, or the name of an earlier tier: the higher one's answer isn't the one, so the earlier one stands.
    """
    reason: str
    withdrawn: str
    """The text that was shown and no longer counts; empty where nothing was."""


RoutedEvent: TypeAlias = StreamEvent | Escalated
"""What a routed stream yields, in order; the last one is `Finished`, with a `RoutedReply`."""


class StreamPresenter:
    """Passes on events of the calls whose answers are shown."""

    def __init__(self, put: Callable[[RoutedEvent], None], mode: StreamMode) -> None:
        self._put = put
        self._optimistic = mode == "optimistic"
        self.shown = ""

    def hear(self, event: StreamEvent, *, sure: bool) -> None:
        """An event of a call; `sure`: nothing can come after it that takes it back."""
        if isinstance(event, TextDelta):
            if self._optimistic or sure:
                self.shown += event.text
                self._put(event)
        elif isinstance(event, ReasoningDelta) or (isinstance(event, ToolCallDelta) and (self._optimistic or sure)):
            self._put(event)

    def withdraw(self, to: str, reason: str) -> None:
        """Something else follows: what was shown is taken back."""
        withdrawn, self.shown = self.shown, ""
        self._put(Escalated(to, reason, withdrawn))

    def settle(self, text: str, to: str, reason: str) -> None:
        """The answer is known: show what of it was held back."""
        if text == self.shown:
            return
        if self.shown and not text.startswith(self.shown):
            self.withdraw(to, reason)
        rest = text[len(self.shown) :]
        self.shown = text
        if rest:
            self._put(TextDelta(rest))
