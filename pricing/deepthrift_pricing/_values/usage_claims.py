"""A host's usage is a claim: believed where it fits what the client counted, replaced where it cannot be true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from deepthrift_pricing._values.usage import Usage

OWN_FACTOR: Final = 2
"""How many times fewer tokens a host may report than were counted here with the model's own tokenizer.

Such a count is near exact. The factor leaves room for a server that shortens a text, or sends part of it twice."""
OTHER_FACTOR: Final = 4
"""The same where the model's tokenizer is unknown and V3.1's counted in its place. Vocabularies of 32,000 to 256,000
tokens differ by a third for English and code, and up to about threefold for scripts that one of them hardly knows."""
SLACK: Final = 2
"""Tokens that are allowed on top, for short texts."""
OWN_BYTES: Final = 5
"""A claim of at least one token for so many UTF-8 bytes is believed without counting. English prose has 4.6."""
OTHER_BYTES: Final = 8
"""The same where the tokenizer is unknown."""
BEYOND: Final = 10
"""A claim of more than so many times the model's context is no count, whatever the profile says about the context."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the client knows of one side of a request, the prompt or the answer, apart from what the host reports."""

    count: Callable[[], int]
    """Counts the tokens, rather too few than too many; called only where a cheaper look is not enough."""
    book: Callable[[], int]
    """Counts the tokens that are booked in the place of a claim that cannot be true."""
    size: int | None = None
    """UTF-8 bytes of the text, or more; `None` where counting costs nothing."""
    own_tokenizer: bool = True
    """Whether the model's own tokenizer counts."""
    most: int | None = None
    """More tokens than this cannot be."""


def fewest(counted: int, *, own_tokenizer: bool) -> int:
    """The fewest tokens that a host can report for a text of `counted` tokens, and be believed."""
    if counted <= 0:
        return 0
    factor = OWN_FACTOR if own_tokenizer else OTHER_FACTOR
    return max(1, -((SLACK - counted) // factor))


def check_claim(usage: Usage, *, prompt: Evidence, completion: Evidence) -> Usage:
    """`usage` where it can be true; else with the client's own counts, `estimated`, and notes that say why.

    A claim above the client's count is believed up to `most`: a host may add to the prompt, and may hide reasoning.
    """
    notes: list[str] = []
    sent = _checked("prompt", usage.prompt_tokens, prompt, notes)
    generated = _checked("completion", usage.completion_tokens, completion, notes)
    if not notes:
        return usage
    return Usage.of(
        sent,
        generated,
        cache_hit=usage.cache_hit_tokens if sent == usage.prompt_tokens else 0,
        reasoning=min(usage.reasoning_tokens, generated),
        certainty="estimated",
        notes=(*usage.notes, *notes),
    )


def _checked(side: str, claim: int, evidence: Evidence, notes: list[str]) -> int:
    """`claim`, or what is booked in its place."""
    if evidence.most is not None and claim > evidence.most:
        counted = max(evidence.count(), evidence.book())
        notes.append(
            f"the host reported {claim:,} {side} tokens, more than the model can take; the {counted:,} counted here "
            "are booked"
        )
        return counted
    own = evidence.own_tokenizer
    if claim and evidence.size is not None and claim * (OWN_BYTES if own else OTHER_BYTES) >= evidence.size:
        return claim
    counted = evidence.count()
    if claim >= fewest(counted, own_tokenizer=own):
        return claim
    counted = max(counted, evidence.book(), claim)
    notes.append(
        f"the host reported {claim:,} {side} token{'' if claim == 1 else 's'}, which cannot be true; the {counted:,} "
        "counted here are booked"
    )
    return counted
