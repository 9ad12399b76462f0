"""What each way of answering costs: recorded tokens at real prices, else counted on recorded text, else calls alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deepthrift_pricing import Price
from deepthrift_pricing.tokens import count_text
from deepthrift_router.evaluation._outcomes import Outcome

CHECK_TOKENS = 2
"""Completion tokens of a cross-check that answers with a bare letter."""


@dataclass(frozen=True, slots=True)
class Spend:
    """Of one outcome: completion tokens by step, and what they cost in 10⁻¹² of the currency; `None`: not known."""

    prompt: int
    standard: tuple[int, ...] | None
    """Completion tokens of each standard sample."""
    thinking: int | None
    counted: bool
    """Whether a standard length was counted on recorded text instead of recorded."""

    def kept_tokens(self, samples: int, checks: int) -> float | None:
        """Completion tokens of so many standard samples and cross-checks."""
        if self.standard is None:
            return None
        own = [self.standard[min(number, len(self.standard) - 1)] for number in range(samples)]
        return float(sum(own) + checks * CHECK_TOKENS)

    def cost(self, prices: tuple[Price, Price], samples: int, *, think: bool) -> float | None:
        """What so many standard samples cost, with or without thinking after them; no cache hits are assumed."""
        total = 0.0
        if samples:
            tokens = self.kept_tokens(samples, 0)
            if tokens is None:
                return None
            _, miss, completion = prices[0].pico
            total += samples * self.prompt * miss + tokens * completion
        if think:
            if self.thinking is None:
                return None
            _, miss, completion = prices[1].pico
            total += self.prompt * miss + self.thinking * completion
        return total


def spend_of(outcome: Outcome, *, prompt: bool) -> Spend:
    """The spend of one outcome; the prompt is counted only where its cost is asked for."""
    recorded = outcome.standard_extra.sample_tokens
    counted = False
    standard: tuple[int, ...] | None = recorded
    if standard is None and outcome.standard_tokens is not None:
        standard = (outcome.standard_tokens,)
    if standard is None and outcome.standard_answer is not None:
        standard, counted = (count_text(outcome.standard_answer),), True
    length = outcome.prompt_tokens
    if length is None:
        length = count_text(outcome.question) if prompt else 0
    return Spend(length, standard, outcome.thinking_tokens, counted)


def all_known(spends: Sequence[Spend]) -> bool:
    """Whether both modes' tokens are known of every outcome."""
    return all(each.standard is not None and each.thinking is not None for each in spends)
