"""What is booked for an answer: the host's usage where it can be true, else what was counted here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from deepthrift._call.prepare.counting import (
    PromptCount,
    count_some,
    estimated_usage,
    received_tokens,
    with_reasoning_tokens,
)
from deepthrift._wire.reply.accumulator import Accumulator
from deepthrift._wire.reply.answer import Answer
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Usage
from deepthrift_pricing.shared.claims import BEYOND, OWN_BYTES, OWN_FACTOR, Evidence, check_claim

if TYPE_CHECKING:
    from deepthrift._call.prepare.passes import Step

_MISSING: Final = "the host reported no usage"
_NO_COUNT: Final = "the host's usage holds no count"
_CUT: Final = "the stream did not come to its end; prompt and received tokens were counted here"


def usage_of(profile: HostProfile, step: Step, answer: Answer, billed: Accumulator) -> Usage:
    """The usage of a whole answer; `estimated`, with notes, wherever it is not simply what the host reported."""
    request, answer = step.request, _without_prefix(answer, step)
    evidence = prompt_evidence(profile, request.model, step.prompt, request.body)
    most = most_tokens(profile, request.max_tokens)
    return _all_reasoning(checked_usage(profile, request.model, step.prompt, evidence, answer, billed, most), step)


def checked_usage(
    profile: HostProfile,
    model: str,
    prompt: PromptCount,
    sent: Evidence,
    answer: Answer,
    billed: Accumulator,
    most: int,
) -> Usage:
    """What the host reported for an answer of at most so many tokens, checked; or what was counted here."""
    reported = _reported(profile, model, prompt, answer, billed)
    if reported is None:
        why = _NO_COUNT if billed.has_usage else _MISSING
        return estimated_usage(profile, model, prompt, answer, billed.pieces, why)
    received = answer_evidence(profile, model, answer, billed.pieces, most)
    return with_reasoning_tokens(profile, model, answer, check_claim(reported, prompt=sent, completion=received))


def partial_usage_of(profile: HostProfile, step: Step, answer: Answer, billed: Accumulator) -> Usage:
    """The usage of what arrived of an answer that was cut: never less than was counted here."""
    model, answer = step.request.model, _without_prefix(answer, step)
    reported = _reported(profile, model, step.prompt, answer, billed)
    if reported is None:
        usage = estimated_usage(profile, model, step.prompt, answer, billed.pieces, _CUT)
        return _all_reasoning(usage, step)
    checked = check_claim(
        reported,
        prompt=prompt_evidence(profile, model, step.prompt, step.request.body),
        completion=Evidence(lambda: 0, lambda: 0, most=most_tokens(profile, step.request.max_tokens)),
    )
    counted, reasoning = received_tokens(profile, model, answer, billed.pieces)
    completion = max(counted, checked.completion_tokens)
    usage = Usage.of(
        checked.prompt_tokens,
        completion,
        cache_hit=checked.cache_hit_tokens,
        reasoning=min(completion, max(reasoning, checked.reasoning_tokens)),
        certainty="estimated",
        notes=(*checked.notes, _CUT),
    )
    return _all_reasoning(usage, step)


def usage_warning(usage: Usage) -> str | None:
    """What to tell the caller of a usage that is not simply what the host reported."""
    if usage.certainty == "exact":
        return None
    return f"the cost is estimated: {'; '.join(usage.notes)}"


def prompt_evidence(profile: HostProfile, model: str, prompt: PromptCount, body: bytes) -> Evidence:
    """What is known of the prompt of a request with this body."""
    most, likely = most_tokens(profile, prompt.tokens), prompt.likely
    if prompt.exact:
        return Evidence(lambda: likely, lambda: likely, most=most)
    if profile.counts_as_v31(model):
        # DeepSeek's own template leaves the tools out of the prompt, and a server that uses it counts none of them.
        enough = likely * OWN_BYTES // OWN_FACTOR
        return Evidence(lambda: prompt_text_tokens(body, tools=False), lambda: likely, size=enough, most=most)
    return Evidence(
        lambda: prompt_text_tokens(body), lambda: likely, size=prompt.tokens, own_tokenizer=False, most=most
    )


def answer_evidence(profile: HostProfile, model: str, answer: Answer, pieces: int, most: int) -> Evidence:
    """What is known of an answer that arrived whole, in so many pieces."""
    return Evidence(
        count=lambda: _fewest_received(answer),
        book=lambda: received_tokens(profile, model, answer, pieces)[0],
        size=sum(_size(text) for text in _said(answer)),
        own_tokenizer=profile.counts_as_v31(model),
        most=most,
    )


def most_tokens(profile: HostProfile, expected: int) -> int:
    """More tokens than this are a fault in the host's usage, not a count."""
    return BEYOND * max(profile.context, expected)


def prompt_text_tokens(body: bytes, *, tools: bool = True) -> int:
    """The tokens of the text in a request's body, in V3.1's vocabulary and without any frame: a lower bound."""
    fields = cast("Mapping[str, object]", json.loads(body))
    texts = [text for name in ("prompt", "suffix") if isinstance(text := fields.get(name), str)]
    for message in cast("Sequence[Mapping[str, object]]", fields.get("messages") or ()):
        content = message.get("content")
        parts = cast("Sequence[object]", [content] if isinstance(content, str) else content or ())
        for part in parts:
            text = cast("Mapping[str, object]", part).get("text") if isinstance(part, Mapping) else part
            texts += [text] if isinstance(text, str) else []
    if tools and fields.get("tools"):
        texts.append(_compact(fields["tools"]))
    return sum(map(count_some, texts))


def _reported(
    profile: HostProfile, model: str, prompt: PromptCount, answer: Answer, billed: Accumulator
) -> Usage | None:
    """The host's own usage; what it leaves out, or what is no count at all, is counted here."""
    usage = answer.usage
    if usage is None or usage.certainty != "unknown":
        return usage
    completion, _ = received_tokens(profile, model, answer, billed.pieces)
    return billed.usage_with(prompt.likely, completion)


def _all_reasoning(usage: Usage, step: Step) -> Usage:
    """`usage` as it is, or, for the first of two passes, with all of the answer as reasoning."""
    return usage.model_copy(update={"reasoning_tokens": usage.completion_tokens}) if step.notes else usage


def _without_prefix(answer: Answer, step: Step) -> Answer:
    """`answer` without its beginning, which was part of the prompt, where a server repeats it."""
    last = step.request.messages[-1] if step.request.messages else {}
    begun = str(last.get("content") or "") if last.get("prefix") else ""
    return replace(answer, text=answer.text[len(begun) :]) if begun and answer.text.startswith(begun) else answer


def _said(answer: Answer) -> Iterator[str]:
    """Every text of an answer that was generated; arguments in their shortest form, as servers write them anew."""
    yield answer.text
    yield answer.reasoning or ""
    for call in answer.tool_calls:
        yield call.name
        try:
            yield _compact(json.loads(call.arguments))
        except (ValueError, RecursionError):
            yield call.arguments


def _fewest_received(answer: Answer) -> int:
    """The tokens of an answer: those of its text, or the log-probabilities that came with it, where they are more."""
    named = len(answer.logprobs or ()) + len(answer.reasoning_logprobs or ())
    return max(named, sum(map(count_some, _said(answer))))


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
