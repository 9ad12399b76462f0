"""What can be read off a conversation before it is sent, in well under a millisecond of plain Python."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from math import log1p
from typing import TYPE_CHECKING, Final, cast

from deepthrift_router._answers.words import words

if TYPE_CHECKING:
    from deepthrift import Messages

_HEAD: Final = 3_000
_TAIL: Final = 1_000
"""Of a longer text only the first and the last characters are read, so that the time is bounded."""

_MOST_TOKENS: Final = 600

_TOKEN = re.compile(
    r"\s*+([a-z]++[^\W\d_]*+|\d++(?:\.\d++)?|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\d_]++|[^\s\w])"
)
"""A word, a number or a sign. A Chinese, Japanese or Korean letter is a word. White space is passed over at once, and
the commonest beginnings are tried first."""
_SYMBOLS: Final = frozenset("!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~×÷±≤≥→∧∨¬√∑∫")
# Read with a line break before the text: a search for a given first character is several times as fast as one for `^`.
_OPTION = re.compile(r"\n[^\S\n]*[(\[]?[A-Ja-j1-9][)\].:](?=\s)")
_CODE = re.compile(r"```|\n[^\S\n]*(?:def|class|import|for|while|return|if)\b.*[:(]|;\s*$|\{\s*$|\}\s*$", re.MULTILINE)
_NUMBER: Final = frozenset({"#", "##", "###", "####", "#."})
_FORMAT: Final = words("json format formatted tag enclose separated respond reply")
_EXAMPLE: Final = words("example examples input output")
_RULE: Final = words("must cannot exactly only each every least most minimum maximum never always")
_IF: Final = words("if then unless suppose assume given when while")
_COUNT_ASKED: Final = frozenset(f"how {word}" for word in ("many", "much", "long", "far", "old"))


@dataclass(frozen=True, slots=True)
class Features:
    """Words and a few plain measures of one conversation."""

    words: frozenset[str]
    """Words and pairs of neighbouring words, lower case, numbers by their size only."""
    measures: Mapping[str, float]


def conversation_text(messages: Messages) -> str:
    """The question: the text of the last user message, or of a string in place of messages."""
    if isinstance(messages, str):
        return messages
    for message in reversed(messages):
        if message["role"] == "user":
            return _content(message.get("content"))
    return _content(messages[-1].get("content")) if messages else ""


def _content(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = cast("Sequence[object]", content) if isinstance(content, Sequence) else ()
    fields = [cast("Mapping[str, object]", part) for part in parts if isinstance(part, Mapping)]
    return "".join(str(part["text"]) for part in fields if "text" in part)


def extract_features(messages: Messages) -> Features:
    """The features of the last user message; there is no recorded data on how earlier turns change the outcome."""
    return text_features(conversation_text(messages))


def text_features(text: str) -> Features:
    """The features of one question."""
    characters = len(text)
    if characters > _HEAD + _TAIL:
        text = text[:_HEAD] + "\n" + text[-_TAIL:]
    raw = _TOKEN.findall(text.casefold())
    if len(raw) > _MOST_TOKENS:
        raw = raw[: _MOST_TOKENS - 100] + raw[-100:]
    tokens = [token if token.isalpha() else _shape(token) for token in raw]
    single = Counter(tokens)
    told = frozenset(chain(map(" ".join, pairwise(tokens)), single))
    numbers = _times(_NUMBER, single)
    count = max(1, len(tokens))
    lines = f"\n{text}"
    measures = {
        "characters": log1p(characters),
        "lines": log1p(text.count("\n")),
        "numbers": log1p(numbers),
        "number_share": numbers / count,
        "symbol_share": _times(_SYMBOLS, single) / count,
        "variety": len(single) / count,
        "word_length": len("".join(tokens)) / count,
        "foreign": 1.0 - len(text.encode("ascii", "ignore")) / max(1, len(text)),
        "questions": log1p(text.count("?")),
        "options": float(min(10, len(_OPTION.findall(lines)))),
        "code": log1p(len(_CODE.findall(lines))),
        "format": log1p(_times(_FORMAT, single)),
        "examples": log1p(_times(_EXAMPLE, single)),
        "asks_count": float(not told.isdisjoint(_COUNT_ASKED)),
        "rules": log1p(_times(_RULE, single)),
        "conditions": log1p(_times(_IF, single)),
    }
    return Features(told, measures)


def _times(some: frozenset[str], counted: Counter[str]) -> int:
    """How often words of `some` occur."""
    return sum(counted[word] for word in counted.keys() & some)


def _shape(token: str) -> str:
    if not token[0].isdigit():
        return token
    return "#." if "." in token else "#" * min(4, len(token))
