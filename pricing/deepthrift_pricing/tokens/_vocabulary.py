"""V3.1's vocabulary from the packaged file: loaded once, on first use, without a network."""

from __future__ import annotations

import hashlib
import lzma
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from itertools import accumulate, pairwise
from typing import Final

from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing.tokens._special import SPECIAL_TOKENS

FILE: Final = "deepseek-v3.1.xz"
SHA256: Final = "e7e17cfca2539123359aeb116a8cacf357fbc09a46771815e2d3ec8fea3bf209"
FIRST_ID: Final = 3
FIRST_MERGED_ID: Final = 259
END_ID: Final = 128_000
SIZE: Final = 128_815


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """V3.1's tokens: the bytes of each, the added ones, and the merges that make them.

    The ids 3 to 258 are the single bytes and every id from 259 to 127999 is made by one merge, in this order: an id is
    also its rank among the merges. 0 to 2 and 128000 to 128814 are the added tokens.
    """

    tokens: Sequence[bytes] = field(repr=False)
    """The bytes of the ids 3 to 127999, in id order."""
    special: Mapping[str, int] = field(default_factory=lambda: SPECIAL_TOKENS, repr=False)
    """The added tokens by their text."""
    size: int = SIZE
    """One more than the highest id in use; the model's own table is padded to 129280 rows."""

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token id stands for.

        Raises:
            LookupError: The id is not in use.
        """
        if FIRST_ID <= token_id < END_ID:
            return self.tokens[token_id - FIRST_ID]
        for text, special_id in self.special.items():
            if special_id == token_id:
                return text.encode()
        raise LookupError(f"{token_id} is no token of V3.1; the ids in use are 0 to {self.size - 1}")

    def ranks(self) -> dict[bytes, int]:
        """Every byte sequence that is a token, with its id, which is also its merge rank."""
        return dict(zip(self.tokens, range(FIRST_ID, END_ID), strict=True))

    def merges(self) -> Iterator[tuple[bytes, bytes]]:
        """The 127,741 merges in the order they apply, worked out again from the ranks."""
        ranks = self.ranks()
        for token in self.tokens[FIRST_MERGED_ID - FIRST_ID :]:
            yield _last_merge(token, ranks)


def _last_merge(token: bytes, ranks: Mapping[bytes, int]) -> tuple[bytes, bytes]:
    """The two parts of a token before its own merge: the token encoded with only the earlier merges."""
    if len(token) == 2:
        return token[:1], token[1:]
    whole = ranks[token]
    parts = [token[i : i + 1] for i in range(len(token))]
    joined = [ranks.get(token[i : i + 2], whole) for i in range(len(token) - 1)]
    while len(parts) > 2:
        lowest = min(joined)
        at = joined.index(lowest)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
        del joined[at]
        if at < len(joined):
            joined[at] = ranks.get(parts[at] + parts[at + 1], whole)
        if at:
            joined[at - 1] = ranks.get(parts[at - 1] + parts[at], whole)
    return parts[0], parts[1]


_lock = threading.Lock()
_loaded: Vocabulary | None = None


def vocabulary() -> Vocabulary:
    """V3.1's vocabulary. The first use reads the packaged file (about 0.1 s of CPU); it is safe from any thread.

    Raises:
        ConfigurationError: The packaged file is missing or damaged.
    """
    global _loaded
    if _loaded is None:
        with _lock:
            if _loaded is None:
                _loaded = Vocabulary(_read())
    return _loaded


def _read() -> list[bytes]:
    try:
        packed = resources.files("deepthrift_pricing.tokens").joinpath(FILE).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the packaged vocabulary {FILE!r} cannot be read: reinstall deepthrift") from error
    if hashlib.sha256(packed).hexdigest() != SHA256:
        raise ConfigurationError(f"the packaged vocabulary {FILE!r} is damaged: reinstall deepthrift")
    table = lzma.decompress(packed)
    count = END_ID - FIRST_ID
    ends = list(accumulate(table[:count], initial=count))
    return [table[start:end] for start, end in pairwise(ends)]
