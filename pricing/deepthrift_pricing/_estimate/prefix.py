"""Which part of the next prompt a provider's prefix cache will hold, and why not more of it."""

from __future__ import annotations

import hashlib
import random
import re
import secrets
import threading
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Final

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing._values.attempt import utc_now
from deepthrift_pricing._values.usage import Usage

UNIT: Final = 64
"""Tokens that DeepSeek's cache keeps or forgets together; a prompt shorter than this is never cached."""

_AGES: Final = (10.0, 60.0, 600.0, 3600.0, 6 * 3600.0, 24 * 3600.0)
"""Seconds: how often a host still holds a prefix is learnt apart for prefixes as old as this."""
_RECENT: Final = 16
"""Prompts whose marks are kept for each host and model, to tell where a new one departs from them."""
_MARKED: Final = 131_072
"""Token ids with a mark of their own; V3.1 has fewer."""
_BESIDE: Final = 8
"""Tokens on both sides of a change that are looked at too to say what changed."""
_LONGEST_CHANGE: Final = 24
_SAME_AGAIN: Final = 12
"""Where this many tokens follow that are the same again, only a small piece was changed, `_LONGEST_CHANGE` at most."""

_DATE: Final = r"\d{4}-\d{2}-\d{2}|\d{1,2}:\d{2}(:\d{2})?|\b(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b"
_CHANGES: Final = (
    (_DATE, "a date or time"),
    (r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-|\b[0-9a-f]{16,}\b", "an identifier"),
    (r"\d", "a number"),
)


class PrefixPrediction(BaseModel):
    """What a prefix cache will make of a prompt. `str()` of it is a sentence for a person."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    prompt_tokens: int
    known_tokens: int
    """How many of them, from the first on and in whole units, were sent before."""
    likely_hits: int
    """How many of those the host will still hold, as it has done so far."""
    held: float
    """The share of known tokens that this host held for prefixes of this age, from 0 to 1."""
    changed_at: int | None
    """The first token that differs from the closest earlier prompt; `None` when there is none, or nothing changed."""
    change: str
    """What seems to have changed there, such as `a date or time`; empty when it is not known."""
    unit: int = UNIT
    """Tokens that are cached or forgotten together; a shorter prompt is never cached."""

    def __str__(self) -> str:
        if self.prompt_tokens < self.unit:
            return f"a prompt of fewer than {self.unit} tokens is never cached"
        text = f"{self.likely_hits:,} of {self.prompt_tokens:,} prompt tokens are likely to be cached"
        if self.changed_at is not None:
            what = f": {self.change}" if self.change else ""
            text += f"; the prefix changed at token {self.changed_at:,}{what}"
        elif not self.known_tokens:
            text += "; nothing like it was sent before"
        return text


@dataclass(frozen=True, slots=True)
class PrefixTrace:
    """What a tracker keeps of a prompt: salted hashes, of no use to another tracker and not to be read back.

    Made while the tokens are at hand, it is handed in when the answer has come.
    """

    host: str
    model: str
    tokens: int
    """How many tokens the prompt has."""
    units: tuple[bytes, ...] = field(repr=False)
    """A hash for each whole unit, of everything up to its end."""
    marks: bytes = field(repr=False)
    """A byte for each token, which some 500 other tokens share: enough to tell where two prompts part."""


class _HostHitRate:
    """How much of what it should know a host really held."""

    def __init__(self) -> None:
        self.known = [UNIT * 2.0] * (len(_AGES) + 1)
        self.held = [UNIT * 2 * share for share in (0.5, 0.9, 0.9, 0.8, 0.5, 0.3, 0.1)]

    def share(self, age: float) -> float:
        place = bisect_right(_AGES, age)
        return min(1.0, self.held[place] / self.known[place])

    def learn(self, age: float, known: int, held: int) -> None:
        place = bisect_right(_AGES, age)
        self.known[place] += known
        self.held[place] += min(held, known)


class PrefixTracker:
    """Remembers what this program sent lately, by host and model, and learns from usage what each host keeps.

    Of the prompts only hashes are kept, salted anew for every tracker, and only in memory. Thread-safe.

        tracker = PrefixTracker()
        tracker.predict(tokens, host="deepseek", model="deepseek-chat").likely_hits
        tracker.observe(tokens, host="deepseek", model="deepseek-chat", usage=reply.usage)
    """

    def __init__(self, *, unit: int = UNIT, remember: int = 65_536, clock: Callable[[], datetime] = utc_now) -> None:
        """An empty memory.

        Args:
            unit: Tokens that a cache keeps or forgets together.
            remember: Units that are kept over all hosts; the oldest are forgotten.
            clock: Tells the moment, aware; for tests.
        """
        self._unit = unit
        self._remember = remember
        self._clock = clock
        self._salt = secrets.token_bytes(16)
        self._marks = b""
        self._lock = threading.Lock()
        self._units: OrderedDict[bytes, datetime] = OrderedDict()
        self._prompts: dict[tuple[str, str], OrderedDict[bytes, bytes]] = {}
        self._habits: dict[str, _HostHitRate] = {}

    def predict(
        self,
        tokens: Sequence[int],
        *,
        host: str,
        model: str,
        decode: Callable[[Sequence[int]], str] | None = None,
    ) -> PrefixPrediction:
        """What the cache will hold of a prompt of these tokens, the template's own included.

        Args:
            tokens: The prompt as the model sees it.
            host: The host profile.
            model: The model.
            decode: Turns tokens into text, to say what changed; without it only the place is told.
        """
        trace = self.trace(tokens, host=host, model=model)
        now = self._clock()
        with self._lock:
            known, seen = self._known(trace.units)
            share = self._habits.setdefault(host, _HostHitRate()).share((now - seen).total_seconds()) if seen else 0.0
            changed_at, resumes = self._changed_at(trace)
        change = ""
        if changed_at is not None and resumes is not None and decode is not None:
            # A number's last digits, a date's day: what changed is longer than the tokens that differ.
            change = describe_change(decode(tokens[max(0, changed_at - _BESIDE) : resumes + _BESIDE]))
        return PrefixPrediction(
            prompt_tokens=len(tokens),
            known_tokens=known * self._unit,
            likely_hits=int(known * share) * self._unit,
            held=share,
            changed_at=changed_at,
            change=change,
            unit=self._unit,
        )

    def observe(self, tokens: Sequence[int], *, host: str, model: str, usage: Usage | None) -> None:
        """Notes that a prompt was sent, and what the host said it held of it; `None` if it did not say."""
        self.note(self.trace(tokens, host=host, model=model), usage)

    def trace(self, tokens: Sequence[int], *, host: str, model: str) -> PrefixTrace:
        """What is kept of a prompt, for `note`; takes some 0.1 ms for 2,000 tokens."""
        numbers = array("I", tokens)
        state = hashlib.blake2b(f"{host}\0{model}".encode(), digest_size=12, key=self._salt)
        units: list[bytes] = []
        for end in range(self._unit, len(numbers) + 1, self._unit):
            state.update(numbers[end - self._unit : end].tobytes())
            units.append(state.digest())
        return PrefixTrace(host, model, len(numbers), tuple(units), self._marked(tokens))

    def note(self, trace: PrefixTrace, usage: Usage | None) -> None:
        """`observe` for a prompt of which `trace` was made before."""
        now = self._clock()
        with self._lock:
            known, seen = self._known(trace.units)
            if known and seen is not None and usage is not None and usage.certainty == "exact":
                age = (now - seen).total_seconds()
                self._habits.setdefault(trace.host, _HostHitRate()).learn(
                    age, known * self._unit, usage.cache_hit_tokens
                )
            for unit in reversed(trace.units):  # so that the end of a prompt is forgotten before its beginning
                self._units[unit] = now
                self._units.move_to_end(unit)
            while len(self._units) > self._remember:
                self._units.popitem(last=False)
            prompts = self._prompts.setdefault((trace.host, trace.model), OrderedDict())
            name = trace.units[-1] if trace.units else b""
            prompts[name] = trace.marks
            prompts.move_to_end(name)
            while len(prompts) > _RECENT:
                prompts.popitem(last=False)

    def forget(self) -> None:
        """Forgets every prompt, and keeps what was learnt of the hosts."""
        with self._lock:
            self._units.clear()
            self._prompts.clear()

    def _marked(self, tokens: Sequence[int]) -> bytes:
        """A byte for each token."""
        with self._lock:
            self._marks = marks = self._marks or _mark_table()
        try:
            # One call for all of them takes half as long as one for each.
            return bytes(itemgetter(*tokens)(marks) if len(tokens) > 1 else [marks[token] for token in tokens])
        except IndexError:  # not V3.1's tokens
            return bytes(marks[token % _MARKED] for token in tokens)

    def _known(self, units: Sequence[bytes]) -> tuple[int, datetime | None]:
        """How many units from the first on were sent before, and when the last of them was sent last."""
        low, high = 0, len(units)
        while low < high:  # a prefix that was sent was sent from its beginning on
            middle = (low + high + 1) // 2
            if units[middle - 1] in self._units:
                low = middle
            else:
                high = middle - 1
        return low, self._units[units[low - 1]] if low else None

    def _changed_at(self, trace: PrefixTrace) -> tuple[int | None, int | None]:
        """The first token that differs from the likest recent prompt, and where the two are the same again, if ever."""
        longest = -1
        closest = b""
        for earlier in self._prompts.get((trace.host, trace.model), OrderedDict[bytes, bytes]()).values():
            common = common_prefix(earlier, trace.marks)
            if common == len(earlier) or common == len(trace.marks):
                return None, None  # an earlier prompt was continued or repeated: nothing changed
            if common > longest:
                longest, closest = common, earlier
        if longest < 0:
            return None, None
        resumes = same_again(closest, trace.marks, longest)
        return (longest, resumes) if resumes is not None or longest >= self._unit else (None, None)


def _mark_table() -> bytes:
    """A secret byte for each token id; of 256 ids in a row, no two have the same."""
    base = bytearray(range(256))
    random.SystemRandom().shuffle(base)
    blocks: list[bytes] = []
    for turn in secrets.token_bytes(_MARKED // 256):
        base = base[turn:] + base[:turn]
        blocks.append(bytes(base))
    return b"".join(blocks)


def common_prefix(one: bytes, other: bytes) -> int:
    """How many marks two prompts have in common, from the first on."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def same_again(one: bytes, other: bytes, changed_at: int) -> int | None:
    """Where in `other` the two go on alike after a small change at `changed_at`; `None` if they do not."""
    ahead = {
        one[place : place + _SAME_AGAIN]
        for place in range(changed_at, min(changed_at + _LONGEST_CHANGE, len(one) - _SAME_AGAIN + 1))
    }
    for place in range(changed_at, min(changed_at + _LONGEST_CHANGE, len(other) - _SAME_AGAIN + 1)):
        if other[place : place + _SAME_AGAIN] in ahead:
            return place
    return None


def describe_change(text: str) -> str:
    """What a piece of a prompt that changes from call to call seems to be; empty when it is ordinary text."""
    return next((what for pattern, what in _CHANGES if re.search(pattern, text)), "")
