"""Plain text to V3.1's tokens and back, on tiktoken."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from deepthrift_pricing._values.errors import InvalidRequestError
from deepthrift_pricing.tokens._special import NAMED_TOKENS, SPECIAL_TOKENS
from deepthrift_pricing.tokens._vocabulary import SIZE, vocabulary

if TYPE_CHECKING:
    import tiktoken

# V3.1 splits text three times, one split after the other: runs of up to three digits, runs of CJK, then the rest by a
# GPT-4-like pattern. tiktoken has one pattern, so three things are told here that the three splits imply:
# 1. a digit or a CJK character is the border of a segment: nothing matches across it, and white space before it counts
#    as white space at the end of the text;
# 2. inside a CJK run the third split still separates letters from marks like `・` and from unassigned code points;
# 3. what no split matches (controls, joiners, unassigned code points) stays as a piece, where tiktoken would drop it.
_CJK: Final = r"\u3040-\u30ff\u4e00-\u9fa5"
_CJK_LETTERS: Final = r"\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u4e00-\u9fa5"
_CJK_SYMBOLS: Final = r"\u309b\u309c\u30a0\u30fb"
_CJK_UNASSIGNED: Final = r"\u3040\u3097\u3098"
_LETTER: Final = rf"[[\p{{L}}\p{{M}}]--[{_CJK}]]"
_SYMBOL: Final = rf"[[\p{{P}}\p{{S}}]--[{_CJK}]]"


def _run(character: str, border: str) -> str:
    """`character+(?!border)`: a run of a character class, less its last one if that is right before the border class.

    Alone, it keeps one way back for each character, and the regex engine gives up at a million of them. So the greater
    part of a long run is taken in blocks of 64 first.
    """
    return rf"(?:{character}{{64}}(?={character}{{2}}))*{character}+(?!{border})"


# The regex engine tries one alternative after the other, so the commonest come first. V3.1 has digits and CJK first: no
# text can begin both like those and like one of the others, so their place does not matter.
PATTERN: Final = "|".join(
    (
        rf"[^\r\n\p{{L}}\p{{P}}\p{{S}}\p{{N}}{_CJK}]?{_LETTER}+",
        r"[!-/:-@\[-`{-~][A-Za-z]+",
        rf" ?{_SYMBOL}+[\r\n]*",
        r"\s*[\r\n]+",
        _run(r"\s", rf"[^\s\p{{N}}{_CJK}]"),
        r"\s",
        r"\p{N}{1,3}",
        rf"[{_CJK_UNASSIGNED}]?[{_CJK_LETTERS}]+",
        rf"[{_CJK_SYMBOLS}]+",
        _run(rf"[{_CJK_UNASSIGNED}]", rf"[{_CJK_LETTERS}]"),
        _run(rf"[^\s\p{{L}}\p{{M}}\p{{N}}\p{{P}}\p{{S}}{_CJK}]", _LETTER),
    )
)

_LONG: Final = 1_000
_LONGEST: Final = 20_000
"""Characters between which the ids of the last few texts are kept: dear enough to encode, small enough to hold."""
_lock = threading.Lock()
_loaded: tiktoken.Encoding | None = None


def encoding() -> tiktoken.Encoding:
    """V3.1's tiktoken encoding, made on first use from the packaged vocabulary."""
    global _loaded
    if _loaded is None:
        with _lock:
            if _loaded is None:
                import tiktoken

                _loaded = tiktoken.Encoding(
                    "deepseek-v3.1",
                    pat_str=PATTERN,
                    mergeable_ranks=vocabulary().ranks(),
                    special_tokens=dict(SPECIAL_TOKENS),
                    explicit_n_vocab=SIZE,
                )
    return _loaded


def is_loaded() -> bool:
    """Whether the vocabulary is in memory; the first use loads it, which takes some tenths of a second."""
    return _loaded is not None


def encode(text: str) -> list[int]:
    """The token ids of plain text, without a begin-of-sentence token.

    Text that reads like a special token is encoded as the text it is. A lone surrogate counts as U+FFFD.
    """
    return list(_encoded(text)) if _LONG <= len(text) <= _LONGEST else encoding().encode_ordinary(text)


@lru_cache(maxsize=4)
def _encoded(text: str) -> tuple[int, ...]:
    """One prompt is encoded for the estimate of each mode, and again for each call."""
    return tuple(encoding().encode_ordinary(text))


def encode_raw(text: str) -> list[int]:
    """The token ids of a rendered prompt in which the text of a special token *is* that token, as servers read it."""
    allowed = SPECIAL_TOKENS if "<｜place▁holder▁no▁" in text else NAMED_TOKENS
    return encoding().encode(text, allowed_special=set(allowed), disallowed_special=())


def decode(ids: Sequence[int]) -> str:
    """The text of token ids; bytes that are not UTF-8 become U+FFFD, special tokens their text.

    Raises:
        InvalidRequestError: An id is no token of V3.1.
    """
    try:
        return encoding().decode(list(ids))
    except (KeyError, OverflowError, TypeError) as error:
        raise InvalidRequestError(f"these are not token ids of V3.1 (0 to {SIZE - 1}): {error}") from error


def count_text(text: str) -> int:
    """How many tokens plain text has. Exact for V3, R1, V3.1 and V3.2, which share their plain-text vocabulary."""
    return len(encoding().encode_ordinary(text))


def count_batch(texts: Iterable[str], *, threads: int = 4) -> list[int]:
    """The tokens of each of many texts, in order, counted on several cores."""
    return [len(ids) for ids in encoding().encode_ordinary_batch(list(texts), num_threads=threads)]
