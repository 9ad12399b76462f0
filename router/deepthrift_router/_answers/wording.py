"""Texts without their dress, as words: those of an answer, and those of the question that it answers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Final

_READ: Final = 4_000
"""Of a longer question, so many of its first and last characters are read."""
_QUIET: Final = frozenset(".,;:!?\"'`()[]{}“”‘’|$\\*_#")

_TOKEN = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|\.\d+|[^\W\d_]+(?:['’][^\W\d_]+)?|[^\s\w]|_")
_NUMBER = re.compile(r"[\d.](?:(?<=\d)[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|(?<=\.)\d+)")
"""The numbers among these, begun with one set of characters: then the search for the next one is fast."""
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_OPTION = re.compile(r"\n[^\S\n]*[(\[]?([A-Ja-j])[)\].:]\s+(\S.*)")


def plain_text(text: str) -> str:
    """`text` without markup, quotation marks around it, and a full stop at its end."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    text = text.strip()
    if "\\" in text:
        text = re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"\1/\2", text)
        text = re.sub(r"\\(?:text|mathrm|mathbf|operatorname)\s*\{([^{}]*)\}", r"\1", text)
        text = text.replace("\\times", "×").replace("\\cdot", "*").replace("^\\circ", "°").replace("\\circ", "°")
        text = re.sub(r"\\(?:left|right|,|;|!|\(|\)|\[|\])", "", text).replace("\\%", "%").replace("\\$", "$")
    if "**" in text:
        text = re.sub(r"\*\*(?=\S)(.+?)(?<=\S)\*\*", r"\1", text)
    if "`" in text:
        text = re.sub(r"(?<!\w)`([^`\n]+)`", r"\1", text)
    if re.fullmatch(r"\$[^$]+\$", text):
        text = text[1:-1]
    text = text.strip().strip("\"'“”‘’").strip()
    if text.endswith((".", "。")) and len(text) > 1 and text[-2] != ".":
        text = text[:-1]
    return text.strip()


def tokens_of(plain: str) -> list[str]:
    """The words, numbers and signs of a plain text that say something, in order, in one spelling."""
    return _spelt(_TOKEN.findall(plain.casefold()))


class Question:
    """What comparing answers needs of their question, each part read when it is first asked for."""

    def __init__(self, text: str) -> None:
        self._text = f"{text[:_READ]}\n{text[-_READ:]}" if len(text) > 2 * _READ else text

    @cached_property
    def options(self) -> Mapping[str, Sequence[str]]:
        """The words of each lettered option."""
        found = _OPTION.findall(f"\n{self._text}")
        return {str(letter).upper(): tokens_of(plain_text(str(body))) for letter, body in found}

    def __contains__(self, token: str) -> bool:
        """Whether a token of an answer is one of the question's, too."""
        if token[0].isdecimal():
            end = token.partition(".")[0][-3:]  # in front of these, the question may have a comma
            return (end in self._low or end == "0") and token in self._numbers
        return token in self._low and token in self._tokens

    @cached_property
    def _low(self) -> str:
        return plain_text(self._text).casefold().replace("’", "'")

    @cached_property
    def _numbers(self) -> frozenset[str]:
        """The numbers among the tokens: no other kind of token can hold one."""
        return frozenset(_spelt(_NUMBER.findall(self._low)))

    @cached_property
    def _tokens(self) -> frozenset[str]:
        return frozenset(_spelt(_TOKEN.findall(self._low)))


@lru_cache(maxsize=64)
def question_of(text: str) -> Question:
    """The question, kept for the next answer to it."""
    return Question(text)


def _spelt(tokens: Sequence[str]) -> list[str]:
    found: list[str] = []
    for token in tokens:
        if token.isalpha():  # most are words, and stay as they are
            found.append(token)
        elif token not in _QUIET:
            found += _token(token).split()
    return found


def _token(token: str) -> str:
    if not token[0].isdecimal() and (token[0] != "." or len(token) == 1):
        return token.replace("’", "'")
    if "," in token:
        token = token.rstrip(",")
        if not _THOUSANDS.fullmatch(token):
            return " ".join(_token(part) for part in token.split(",") if part)
        token = token.replace(",", "")
    if "e" in token:
        return token
    whole, _, decimals = token.partition(".")
    whole, decimals = whole.lstrip("0") or "0", decimals.rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole
