"""How many tokens there are: exactly where V3.1's tokenizer is in use, by a bound or an estimate elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from deepthrift._types.messages import JSONObject
from deepthrift._wire.reply.answer import Answer
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Certainty, Mode, PrefixTrace, Usage

T = TypeVar("T")

_LONG: Final = 200_000
"""Characters from which counting takes long enough to be done apart from the event loop."""
_SAMPLES: Final = 20
"""Slices of a long text that are counted in place of the whole."""


@dataclass(frozen=True, slots=True)
class PromptCount:
    """Prompt tokens of a request."""

    tokens: int
    """Never fewer than the host will count."""
    likely: int
    """What the host will probably count."""
    certainty: Certainty
    trace: PrefixTrace | None = None
    """What a tracker keeps of it; `None` where the tokenizer is not V3.1's."""

    @property
    def exact(self) -> bool:
        """Whether the host will count just as many."""
        return self.certainty == "exact"


def count_and_ids(
    profile: HostProfile,
    model: str,
    messages: Sequence[Mapping[str, object]],
    *,
    mode: Mode,
    tools: Sequence[JSONObject] | None,
) -> tuple[PromptCount, list[int] | None]:
    """The prompt tokens, and their ids where the tokenizer is V3.1's."""
    from deepthrift_pricing import tokens

    if not profile.counts_as_v31(model):
        bound = tokens.upper_bound(messages, tools=tools)
        return PromptCount(bound, min(bound, bound // 3 + 1), "estimated"), None
    # Servers render to text before they encode, so a literal control token in a message may count as one or as many.
    same = profile.exact_prompts
    ids = tokens.encode_messages(messages, mode=mode, tools=tools, literals="control" if same else "text")
    counted, margin = len(ids), profile.extra_tokens_per_message * len(messages)
    seed = messages[-1].get("reasoning_content") if messages[-1].get("prefix") else None
    if isinstance(seed, str):  # the beginning of the reasoning, which no public template renders
        counted += tokens.count_text(seed)
        margin += 1
    certainty: Certainty = "exact" if margin == 0 and (same or not tools) else "estimated"
    return PromptCount(counted + margin, counted, certainty), ids


async def in_thread_if_long(
    count: Callable[[], T], profile: HostProfile, model: str, messages: Sequence[Mapping[str, object]]
) -> T:
    """What `count` counts, in a thread for long conversations, or while the vocabulary is loaded."""
    from deepthrift_pricing.shared.vocabulary import is_loaded

    size = sum(len(str(message.get("content") or "")) for message in messages)
    if size < _LONG and (not profile.counts_as_v31(model) or is_loaded()):
        return count()
    return await asyncio.to_thread(count)


def count_some(text: str) -> int:
    """The tokens of a text as V3.1's tokenizer counts them; of a very long one, estimated from evenly spread slices."""
    from deepthrift_pricing.tokens import count_text

    if len(text) <= _LONG:
        return count_text(text) if text else 0
    width = _LONG // (2 * _SAMPLES)
    starts = [(len(text) - width) * number // (_SAMPLES - 1) for number in range(_SAMPLES)]
    counted = sum(count_text(text[start : start + width]) for start in starts)
    return counted * len(text) // (width * _SAMPLES)


def received_tokens(profile: HostProfile, model: str, answer: Answer, pieces: int) -> tuple[int, int]:
    """Completion tokens of what has arrived, and those of them that are reasoning, counted here.

    Where the tokenizer is unknown, a fragment counts as at least one token, as most servers send it.
    """
    reasoning, text = count_some(answer.reasoning or ""), count_some(answer.text)
    calls = sum(count_some(call.name) + count_some(call.arguments) for call in answer.tool_calls)
    named = len(answer.logprobs or ()) + len(answer.reasoning_logprobs or ())
    total = max(reasoning + text + calls, named, answer.counted)
    if not profile.counts_as_v31(model):
        total = max(total, pieces)
    return total, min(reasoning, total)


def estimated_usage(
    profile: HostProfile, model: str, prompt: PromptCount, answer: Answer, pieces: int, why: str
) -> Usage:
    """The usage of an answer whose host did not report it."""
    completion, reasoning = received_tokens(profile, model, answer, pieces)
    return Usage.of(prompt.likely, completion, reasoning=reasoning, certainty="estimated", notes=(why,))


def with_reasoning_tokens(profile: HostProfile, model: str, answer: Answer, usage: Usage) -> Usage:
    """`usage` with the reasoning tokens counted here, where the host left them out. They are billed all the same."""
    if usage.reasoning_tokens or not (answer.reasoning or "").strip() or not usage.completion_tokens:
        return usage
    completion, reasoning = received_tokens(profile, model, answer, 0)
    if profile.counts_as_v31(model):
        counted = min(reasoning, usage.completion_tokens)
        note = "the host did not report reasoning tokens; they were counted here"
    else:
        counted = usage.completion_tokens * reasoning // max(completion, 1)
        note = "the host did not report reasoning tokens; they were estimated from their share of the text"
    return usage.model_copy(update={"reasoning_tokens": counted, "notes": (*usage.notes, note)})
