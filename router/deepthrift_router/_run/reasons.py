"""Why an answer was accepted or not, in words."""

from __future__ import annotations

from typing import Final

from deepthrift_router._belief.verification import AGREEMENT, THIRD, Verification

_SAMPLE_WORDS: Final = {
    "agree": "agrees",
    "disagree": "disagrees",
    "no_answer": "has no answer to compare",
    "with_first": "agrees with the first",
    "with_second": "agrees with the second, not the first",
    "with_neither": "agrees with neither",
}
_AGREEMENT_WORDS: Final = {"agree": "agrees", "disagree": "disagrees", "no_answer": "gives no answer"}
_OTHERS_WORDS: Final = {
    "both": "both other endpoints agree",
    "first": "only the first of two other endpoints agrees",
    "second": "only the second of two other endpoints agrees",
    "against": "both other endpoints agree on another answer",
    "differ": "both other endpoints give answers of their own",
}
_OWN_VERDICTS: Final = {
    "sure": "the model itself is sure",
    "yes": "the model itself says yes",
    "no": "the model itself says no",
    "unclear": "the model itself gives no verdict",
}


def sentences(*said: str) -> str:
    """Each part as a sentence; empty ones are left out."""
    return " ".join(f"{each[:1].upper()}{each[1:].rstrip(' .')}." for each in said if each)


def why_escalate(seen: Verification, threshold: float | None, to: str = "thinking", gain: float | None = None) -> str:
    """Why a standard answer is escalated; `gain` is what `to` adds, where that isn't what thinking adds."""
    up = f"escalated to {'the ' if to == 'specialist' else ''}{to}"
    decisive = next((item for item in seen.evidence if item.decisive), None)
    if decisive is not None:
        return f"{up} ({decisive.signal}: {decisive.detail or decisive.outcome})"
    adds = f"it is expected to add {seen.belief.gain if gain is None else gain:+.2f} to the chance of a right answer"
    if threshold is not None:
        return f"{up}: {_told(seen)}{adds}, and the threshold is {threshold:+.2f}"
    return f"{up}: {_told(seen)}{adds}, which is worth more than it costs"


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
    said += [told for item in seen.evidence if (told := _check_told(item.signal, item.outcome)) is not None]
    return f"{' and '.join(said)}, so " if said else ""


def _check_told(signal: str, outcome: str) -> str | None:
    """What a check that took a call said; `None` for any other signal."""
    match signal:
        case "cross_check":
            return _OTHERS_WORDS.get(outcome) or f"the other endpoint {_AGREEMENT_WORDS.get(outcome, outcome)}"
        case "program":
            return f"a program {_AGREEMENT_WORDS.get(outcome, outcome)}"
        case "self_check":
            return _OWN_VERDICTS.get(outcome, f"the model itself says {outcome}")
        case "margin" if outcome == "other":
            return "another candidate has the best score"
        case "margin":
            return f"the next candidate is {outcome} points behind"
        case _:
            return None
