"""The usage that a host reports in one answer, once or many times, gathered into one claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from pydantic import JsonValue

from deepthrift_pricing import Usage, parse_usage

if TYPE_CHECKING:
    from deepthrift._wire.events.chunk import Chunk

_SENT: Final = ("prompt_tokens", "input_tokens", "prompt_eval_count", "tokens_evaluated")
_SENT_PARTS: Final = (
    "prompt_cache_hit_tokens",
    "prompt_cache_miss_tokens",
    "prompt_tokens_details",
    "input_tokens_details",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)
_GENERATED: Final = ("completion_tokens", "output_tokens", "eval_count", "tokens_predicted")
_GENERATED_PARTS: Final = ("completion_tokens_details", "output_tokens_details", "reasoning_tokens")
_SIDES: Final = ((_SENT, _SENT_PARTS), (_GENERATED, _GENERATED_PARTS))


class UsageReports:
    """Every usage of one answer, wherever a host puts it.

    The last report counts. What it leaves out of the prompt, or of the answer, is taken from the report before: some
    hosts tell of the prompt at the start and of the answer at the end. Counts only grow while an answer is generated.
    So where a report takes back tokens, with zeros at the end of a stream for instance, the larger count stands, and
    the usage is `estimated`.
    """

    __slots__ = ("_parsed", "_raw", "_shrank")

    def __init__(self) -> None:
        self._raw: Mapping[str, JsonValue] = {}
        self._shrank = False
        self._parsed: tuple[Usage | None] | None = None

    def __bool__(self) -> bool:
        return bool(self._raw)

    def take(self, chunk: Chunk) -> None:
        """Add what `chunk` reports, if it does."""
        if chunk.usage:
            self.add(chunk.usage)
            return
        if chunk.x_groq is not None and isinstance(chunk.x_groq, dict) and isinstance(chunk.x_groq.get("usage"), dict):
            self.add(cast("Mapping[str, JsonValue]", chunk.x_groq["usage"]))
        for choice in chunk.choices or ():
            if choice.usage is not None and isinstance(choice.usage, dict):
                self.add(choice.usage)
        if chunk.prompt_eval_count is not None or chunk.eval_count is not None:
            self.add({"prompt_eval_count": chunk.prompt_eval_count, "eval_count": chunk.eval_count})
        if chunk.tokens_evaluated is not None or chunk.tokens_predicted is not None:
            self.add({"tokens_evaluated": chunk.tokens_evaluated, "tokens_predicted": chunk.tokens_predicted})

    def add(self, raw: Mapping[str, JsonValue]) -> None:
        """Add one report, in the host's own words."""
        self._parsed = None
        if not self._raw:
            self._raw = raw
        elif raw != self._raw:
            self._raw = self._merged(raw)

    def parse(self, *, prompt_tokens: int | None = None, completion_tokens: int | None = None) -> Usage | None:
        """The claim as a usage, with these counts where it has none of the prompt or of the answer."""
        if prompt_tokens is not None or completion_tokens is not None:
            return self._parse(prompt_tokens, completion_tokens)
        if self._parsed is None:
            self._parsed = (self._parse(None, None),)
        return self._parsed[0]

    def _parse(self, prompt_tokens: int | None, completion_tokens: int | None) -> Usage | None:
        usage = parse_usage(self._raw, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
        if usage is None or not self._shrank:
            return usage
        note = "the host took back tokens that it had reported earlier in the answer; the larger counts are booked"
        certainty = usage.certainty if usage.certainty != "exact" else "estimated"
        return usage.model_copy(update={"notes": (*usage.notes, note), "certainty": certainty})

    def _merged(self, raw: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        earlier, merged, kept = self._raw, raw, 0
        for names, parts in _SIDES:
            before, now = _count(earlier, names), _count(raw, names)
            if before is None or (now is not None and now >= before):
                continue
            self._shrank = self._shrank or now is not None
            kept += 1
            side = (*names, *parts)
            merged = {name: value for name, value in merged.items() if name not in side}
            merged |= {name: earlier[name] for name in side if name in earlier}
        if kept:  # a total adds up one report, not parts of two
            merged = {**merged, "total_tokens": earlier.get("total_tokens") if kept == len(_SIDES) else None}
        return merged


def _count(raw: Mapping[str, JsonValue], names: tuple[str, ...]) -> int | None:
    for name in names:
        value = raw.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None
