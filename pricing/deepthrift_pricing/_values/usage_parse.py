"""From whatever a provider calls usage to one `Usage` whose sums are right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from deepthrift_pricing._values.usage import Certainty, Usage
from deepthrift_pricing._values.usage_requests import parse_requests

_LARGEST: Final = 10**9
"""More tokens than any request can have: a larger number is a fault, not a count."""
_MEDIA: Final = {"audio_tokens": "audio", "image_tokens": "image", "video_tokens": "video"}


def parse_usage(
    raw: Mapping[str, object] | None, *, prompt_tokens: int | None = None, completion_tokens: int | None = None
) -> Usage | None:
    """The usage in a provider's own words, normalised.

    Understood are the `usage` object of DeepSeek (`prompt_cache_hit_tokens`, `prompt_cache_miss_tokens`), OpenAI and
    everything compatible (`prompt_tokens_details.cached_tokens`, `completion_tokens_details.reasoning_tokens`), SGLang
    (`reasoning_tokens` beside the counts), the Responses and Anthropic forms (`input_tokens`, `output_tokens`,
    `cache_read_input_tokens`, `cache_creation_input_tokens`, `server_tool_use`), and Ollama's and llama.cpp's native
    counters (`prompt_eval_count`, `eval_count`, `tokens_evaluated`, `tokens_predicted`).

    Args:
        raw: What the provider sent. A number that no request can have, such as 10²⁵, is no count.
        prompt_tokens: What was counted elsewhere, to be taken where the provider tells of the prompt nothing that can
            be.
        completion_tokens: The same for the answer.

    Returns:
        `None` when `raw` holds no count at all: absent usage is unknown, never zero. Counts that contradict one another
        or are partly missing are repaired so that the dearer reading is billed; the result is then `estimated`, and
        `notes` says what was done. Where nothing tells the tokens of the prompt, or those of the answer, they stand as
        0 and the result is `unknown`.
    """
    if not raw:
        return None
    notes: list[str] = []
    prompt = _first(raw, ("prompt_tokens", "prompt_eval_count", "tokens_evaluated"), notes)
    completion = _first(raw, ("completion_tokens", "output_tokens", "eval_count", "tokens_predicted"), notes)
    total = _first(raw, ("total_tokens",), notes)
    hit = _first(raw, ("prompt_cache_hit_tokens",), notes)
    miss = _first(raw, ("prompt_cache_miss_tokens",), notes)
    of_prompt = _details(raw, ("prompt_tokens_details", "input_tokens_details"))
    of_answer = _details(raw, ("completion_tokens_details", "output_tokens_details"))
    cached = _first(of_prompt, ("cached_tokens",), notes, "details.")
    if prompt is None:
        prompt, cached = _prompt_of_input(raw, cached, notes)
    reasoning = _first(of_answer, ("reasoning_tokens",), notes, "details.")
    if reasoning is None:
        reasoning = _first(raw, ("reasoning_tokens",), notes)
    written = _written(raw, of_prompt, notes)
    requests = parse_requests(raw, notes)
    _other_media("prompt", of_prompt, notes)
    _other_media("answer", of_answer, notes)
    if prompt is None and completion is None and hit is None and miss is None and total is None:
        return None

    if prompt is None and (hit is not None or miss is not None):
        prompt = (hit or 0) + (miss or 0)
        if hit is None or miss is None:
            notes.append("the prompt tokens are missing; taken from one half of the cache counts")
    lacking = False
    if prompt is None:
        found = _other_part("prompt", total, completion, prompt_tokens, notes)
        prompt, lacking = found or (total if completion is None and total else 0), found is None
    if completion is None:
        found = _other_part("completion", total, prompt, completion_tokens, notes)
        completion, lacking = found or 0, lacking or found is None
    completion = _checked(prompt, completion, total, notes)
    cache_hit = _cache_hit(prompt, hit, miss, cached, notes)
    reasoning = reasoning or 0
    if reasoning > completion:
        notes.append(f"{reasoning} reasoning tokens are more than the {completion} completion tokens; all are billed")
        completion = reasoning
    certainty: Certainty = "unknown" if lacking else "estimated" if notes else "exact"
    return Usage.of(
        prompt,
        completion,
        cache_hit=cache_hit,
        reasoning=reasoning,
        cache_write=None if written is None else min(written, prompt - cache_hit),
        requests=requests,
        certainty=certainty,
        notes=tuple(notes),
    )


def _written(raw: Mapping[str, object], details: Mapping[str, object], notes: list[str]) -> int | None:
    """The prompt tokens that the provider stored in its cache, where it says so."""
    found = _first(raw, ("cache_creation_input_tokens",), notes)
    if found is None:
        found = _first(details, ("cache_write_tokens", "cache_creation_tokens"), notes, "details.")
    return found


def _other_media(where: str, details: Mapping[str, object], notes: list[str]) -> None:
    """Notes tokens of audio, images or video: many hosts bill them at prices of their own."""
    for name, medium in _MEDIA.items():
        if details.get(name) and (count := _first(details, (name,), notes, "details.")):
            notes.append(f"{count} tokens of the {where} are {medium}; they are billed at the price of text here")


def _prompt_of_input(raw: Mapping[str, object], cached: int | None, notes: list[str]) -> tuple[int | None, int | None]:
    """`input_tokens` holds the cached ones in the Responses form, and leaves them out in the Anthropic form."""
    tokens = _first(raw, ("input_tokens",), notes)
    read = _first(raw, ("cache_read_input_tokens",), notes)
    written = _first(raw, ("cache_creation_input_tokens",), notes)
    if tokens is None and read is None and written is None:
        return None, cached
    if read is None and written is None:
        return tokens, cached
    return (tokens or 0) + (read or 0) + (written or 0), read or 0


def _other_part(name: str, total: int | None, part: int | None, counted: int | None, notes: list[str]) -> int | None:
    """One part of the tokens, which the provider left out: the total without the other one, or what was counted."""
    if total is not None and part is not None and total > part:
        notes.append(f"the {name} tokens are missing; taken from the total")
        return total - part
    taken = "" if counted is None else f"; the {counted} counted here are taken"
    notes.append(f"the {name} tokens are missing{taken}")
    return counted


def _checked(prompt: int, completion: int, total: int | None, notes: list[str]) -> int:
    """The completion tokens, with those that only the total knows of."""
    if total is not None and total > prompt + completion:
        notes.append(
            f"the total of {total} tokens is more than {prompt} + {completion}; the difference counts as output"
        )
        completion = total - prompt
    elif total is not None and total < prompt + completion:
        notes.append(f"the total of {total} tokens is less than {prompt} + {completion}; the parts are billed")
    return completion


def _cache_hit(prompt: int, hit: int | None, miss: int | None, cached: int | None, notes: list[str]) -> int:
    """The cache hits; where two fields disagree, the fewer, because a miss is the dearer one."""
    readings = [count for count in (hit, cached, None if miss is None else prompt - miss) if count is not None]
    if not readings:
        return 0
    chosen = min(max(0, count) for count in readings)
    if any(count != readings[0] for count in readings):
        told = f"hit {hit}, miss {miss}, cached {cached} of {prompt} prompt tokens"
        notes.append(
            f"the cache counts contradict one another ({told}); {chosen if chosen <= prompt else 0} hits are billed"
        )
    elif chosen > prompt or readings[0] < 0:
        notes.append(f"{readings[0]} cache hits of {prompt} prompt tokens cannot be; none are billed")
    return chosen if chosen <= prompt else 0


def _details(raw: Mapping[str, object], names: Iterable[str]) -> Mapping[str, object]:
    for name in names:
        found = raw.get(name)
        if isinstance(found, Mapping):
            return found  # pyright: ignore[reportUnknownVariableType]  # a JSON object: keys are text
    return {}


def _first(raw: Mapping[str, object], names: Iterable[str], notes: list[str], where: str = "") -> int | None:
    """The first of `names` that holds a count; anything else than a count is noted and passed over."""
    for name in names:
        value = raw.get(name)
        if value is None:
            continue
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST:
            return value
        if isinstance(value, float) and value.is_integer() and 0 <= value <= _LARGEST:
            return int(value)
        notes.append(f"{where}{name} is not a count of tokens: {repr(value)[:40]}")
    return None
