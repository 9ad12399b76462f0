"""Log-probabilities, read from whatever a host sends: a value that cannot be read is missing, and the answer stays."""

from __future__ import annotations

import math
from itertools import zip_longest
from typing import Final, cast

from deepthrift._types.reply import TokenLogprob
from deepthrift._wire.halves import HalfJoiner, whole

_OUTSIDE: Final = -9999.0
"""What DeepSeek's API writes for a token outside of the 20 best (api/create-chat-completion)."""
_IMPOSSIBLE: Final = 100.0
"""Far above 0, which is certainty; servers that round may be a little above it."""


class _Tokens:
    """The tokens of one text; a character that two tokens share goes to the second one."""

    def __init__(self) -> None:
        self._tokens: list[TokenLogprob] = []
        self._halves = HalfJoiner()

    def add(self, token: str, logprob: object, top: tuple[tuple[str, float], ...]) -> None:
        self._tokens.append(TokenLogprob(token=self._halves.feed(token), logprob=_number(logprob), top=top))

    def all(self) -> tuple[TokenLogprob, ...]:
        if not self._halves.waiting:
            return tuple(self._tokens)
        last = self._tokens[-1]
        return (*self._tokens[:-1], last.model_copy(update={"token": f"{last.token}\ufffd"}))


class LogprobReader:
    """Collects the log-probabilities of one answer."""

    def __init__(self) -> None:
        self._seen = False
        self._text = _Tokens()
        self._reasoning = _Tokens()

    def add(self, value: object) -> None:
        """Take in what a choice has as its `logprobs`."""
        if not isinstance(value, dict):
            return
        self._seen = True
        fields = cast("dict[str, object]", value)
        for name, tokens in (("content", self._text), ("reasoning_content", self._reasoning)):
            for entry in _list(fields.get(name)):
                if isinstance(entry, dict):
                    held = cast("dict[str, object]", entry)
                    best = [_best(other) for other in _list(held.get("top_logprobs"))]
                    top = tuple(each for each in best if each is not None)
                    tokens.add(_text(held.get("token")), held.get("logprob"), top)
        columns = (_list(fields.get(name)) for name in ("tokens", "token_logprobs", "top_logprobs"))
        for token, logprob, others in zip_longest(*columns):  # the older form, of completions of plain text
            if isinstance(token, str):
                pairs = cast("dict[str, object]", others) if isinstance(others, dict) else {}
                read = [(whole(other), _number(each)) for other, each in pairs.items()]
                self._text.add(token, logprob, tuple((other, each) for other, each in read if each is not None))

    def text(self) -> tuple[TokenLogprob, ...] | None:
        """The tokens of the answer; `None` if there were no log-probabilities at all."""
        return self._text.all() if self._seen else None

    def reasoning(self) -> tuple[TokenLogprob, ...] | None:
        """The tokens of the reasoning, where the host tells them apart."""
        return self._reasoning.all() or None


def _best(value: object) -> tuple[str, float] | None:
    if not isinstance(value, dict):
        return None
    fields = cast("dict[str, object]", value)
    number = _number(fields.get("logprob"))
    return None if number is None else (whole(_text(fields.get("token"))), number)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _number(value: object) -> float | None:
    """A log-probability; `None` for null, -Infinity, NaN, and the mark of a token outside of the best."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and _OUTSIDE < number < _IMPOSSIBLE else None
