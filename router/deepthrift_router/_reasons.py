"""Why an answer was accepted or not, in words."""

from __future__ import annotations

from typing import Final

from deepthrift_router._verification import AGREEMENT, THIRD, Verification

_SAMPLE_WORDS: Final = {
    "agree": "agrees",
    "disagree": "disagrees",
    "no_answer": "has no answer to compare",
    "with_first": "agrees with the first",
    "with_second": "agrees with the second, not the first",
    "with_neither": "agrees with neither",
}
_CHECK_WORDS: Final = {
    "cross_check": "the other endpoint",
    "program": "a program",
    "self_check": "the model itself",
    "margin": "the scores of the candidates",
}


def why_escalate(seen: Verification, threshold: float | None) -> str:
    """Why a standard answer is escalated."""
    decisive = next((item for item in seen.evidence if item.decisive), None)
    if decisive is not None:
        return f"escalated to thinking ({decisive.signal}: {decisive.detail or decisive.outcome})"
    adds = f"it is expected to add {seen.belief.gain:+.2f} to the chance of a right answer"
    if threshold is not None:
        return f"escalated to thinking: {_told(seen)}{adds}, and the threshold is {threshold:+.2f}"
    return f"escalated to thinking: {_told(seen)}{adds}, which is worth more than it costs"


def why_accept(seen: Verification, samples: int, short: str | None, threshold: float | None) -> str:
    """Why a standard answer stands."""
    right = f"it is right with a probability of {seen.belief.p_standard:.2f}"
    if short is not None:
        return f"the standard answer was accepted, for thinking is out of reach ({short}); {right}"
    if threshold is not None:
        gain = f"thinking would add {seen.belief.gain:+.2f}, and the threshold is {threshold:+.2f}"
        return f"the standard answer was accepted: {_told(seen)}{right}; {gain}"
    told = _told(seen)
    if samples == 1 and not told:
        return f"the standard answer was accepted without a second sample: {right}, and none would pay"
    return f"the standard answer was accepted: {told}{right}"


def _told(seen: Verification) -> str:
    said: list[str] = []
    bought = [item for item in seen.evidence if item.signal in (AGREEMENT, THIRD)]
    if bought:
        nth = "second" if len(bought) == 1 else "third"
        said.append(f"the {nth} sample {_SAMPLE_WORDS[bought[-1].outcome]}")
    for item in seen.evidence:
        if item.signal in _CHECK_WORDS:
            verb = {"agree": "agrees", "disagree": "disagrees"}.get(item.outcome, f"says {item.outcome!r}")
            said.append(f"{_CHECK_WORDS[item.signal]} {verb}")
    return f"{' and '.join(said)}, so " if said else ""
