"""The belief that recorded evidence leads to under any setting: for shadows and for calibration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from deepthrift_router._belief.belief import Belief
from deepthrift_router._belief.evidence import OWN_CHECK
from deepthrift_router._belief.likelihoods import Likelihoods

Seen: TypeAlias = tuple[str, str, str]
"""Signal, condition and outcome."""


def decisive(signal: str, outcome: str) -> bool:
    """Whether an outcome settles the matter: there is no answer, or a validator refused it."""
    if signal.startswith(OWN_CHECK):
        return False
    if signal == "finish":
        return outcome != "complete"
    return outcome == "cut" or (signal.startswith("validator ") and outcome == "refused")


def posterior(belief: Belief, weight: float, evidence: Iterable[Seen], likelihoods: Likelihoods) -> Belief:
    """The belief after `evidence`, as a live answer would have come to it."""
    for signal, condition, outcome in evidence:
        if decisive(signal, outcome):
            belief = belief.without_standard()
            continue
        table = likelihoods.table(signal, condition, weight)
        if table is not None and outcome in table:
            belief = belief.given(table[outcome], likelihoods.temper(signal, weight))
        if signal == "third_sample" and outcome == "with_second":
            belief = belief.moved(likelihoods.switch)
    return belief
