"""A standard answer while it is still coming: whether what there is of it makes the rest a waste."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from deepthrift_router._answers.hedging import hedging_of
from deepthrift_router._answers.repetition import degenerate

PartialValidator: TypeAlias = Callable[[str], bool | str]
"""Reads a standard answer as far as it has come: `True` while it may still become right, else `False` or the reason."""

_EVERY: Final = 48
"""Characters between two looks."""
_EARLY: Final = 400
"""A refusal shows in its first characters, or not at all."""


class Watch:
    """Called with the text so far; true ends the call. `problem` says why."""

    def __init__(self, validators: Sequence[PartialValidator], escalates: Callable[[str], bool]) -> None:
        self._validators = validators
        self._escalates = escalates
        self._seen = 0
        self.problem: tuple[str, str] | None = None
        """Signal and detail."""

    def __call__(self, text: str) -> bool:
        if self.problem is None and len(text) - self._seen >= _EVERY:
            self._seen = len(text)
            self.problem = self._look(text)
        return self.problem is not None

    def _look(self, text: str) -> tuple[str, str] | None:
        if degenerate(text):
            return "repetition", "the answer began to repeat itself without end"
        for check in self._validators:
            try:
                verdict: object = check(text)
            except (ValueError, AssertionError) as error:
                verdict = f"{type(error).__name__}: {error}"
            except Exception:
                verdict = None  # no evidence, as for any validator
            if verdict is False or isinstance(verdict, str):
                name = getattr(check, "__name__", type(check).__name__)
                return f"partial {name!r}", verdict if isinstance(verdict, str) else "refused"
        if len(text) <= _EARLY and hedging_of(text) == "refused" and self._escalates("refused"):
            return "hedging", "the answer began as a refusal"
        return None
