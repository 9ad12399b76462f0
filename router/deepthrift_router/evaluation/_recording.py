"""A recorded outcome as the answers that an endpoint would have sent."""

from __future__ import annotations

from dataclasses import dataclass

from deepthrift_pricing.tokens import count_text
from deepthrift_router._answers.answers import parse_answer, same_answer
from deepthrift_router.evaluation._outcomes import Outcome

FRAME = 6
"""Prompt tokens around one user message in V3.1's chat template."""
_UNRECORDED = "(the reasoning was not recorded)"


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """One answer as it goes over the wire."""

    text: str
    finish: str
    tokens: int
    """Completion tokens, reasoning included."""
    estimated: bool
    """Whether they were counted on recorded text instead of recorded."""
    reasoning: str = ""
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Recording:
    """What a question is answered with."""

    id: str
    prompt_tokens: int
    standard: tuple[RecordedAnswer, ...]
    thinking: RecordedAnswer | None


def recordings_of(outcome: Outcome) -> Recording:
    """The answers of one outcome."""
    prompt = outcome.prompt_tokens
    return Recording(
        outcome.id,
        count_text(outcome.question) + FRAME if prompt is None else prompt,
        tuple(_sample(outcome, number) for number in range(len(outcome.samples))),
        _thinking(outcome),
    )


def _sample(outcome: Outcome, number: int) -> RecordedAnswer:
    """One standard answer: its raw text, with the recorded final answer where the text does not show it."""
    extra, answer = outcome.standard_extra, outcome.samples[number]
    texts, finals = extra.sample_answers or (), extra.sample_finals or ()
    text = texts[number] if number < len(texts) else outcome.standard_answer if number == 0 else None
    final = finals[number] if number < len(finals) else outcome.standard_final if number == 0 else None
    cut = (number == 0 and outcome.standard_finish == "length") or (answer is None and bool(finals))
    if not cut and answer is not None and final is not None:
        found = None if text is None else parse_answer(text, outcome.question)
        if found is None or not same_answer(found, answer):
            tagged = f"<answer>{final}</answer>"
            text = tagged if text is None else f"{text}\n{tagged}"
    content = text or ""
    recorded = extra.sample_tokens[number] if extra.sample_tokens and number < len(extra.sample_tokens) else None
    if recorded is None and number == 0:
        recorded = outcome.standard_tokens
    tokens = max(1, count_text(content)) if recorded is None else recorded
    return RecordedAnswer(content, "length" if cut else "stop", tokens, recorded is None)


def _thinking(outcome: Outcome) -> RecordedAnswer | None:
    text = outcome.thinking_answer
    if text is None:
        if outcome.thinking_final is None and outcome.thinking_correct is None:
            return None
        text = f"<answer>{outcome.thinking_final}</answer>" if outcome.thinking_final else ""
    shown = count_text(text)
    recorded = outcome.thinking_tokens
    tokens = shown + count_text(_UNRECORDED) if recorded is None else max(recorded, 1)
    return RecordedAnswer(
        text,
        "stop" if text else "length",
        tokens,
        recorded is None,
        reasoning=_UNRECORDED,
        reasoning_tokens=max(0, tokens - shown),
    )
