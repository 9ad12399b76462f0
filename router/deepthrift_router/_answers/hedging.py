"""Whether a reply doubts itself or refuses."""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

Hedging: TypeAlias = Literal["plain", "hedged", "refused"]

_REFUSALS: Final = (
    r"i(?:'m| am) (?:sorry|unable|not able)|"
    r"i (?:cannot|can't|can not|won't) (?:help|assist|answer|provide|determine)|"
    r"as an ai\b|cannot be (?:determined|answered|solved)|impossible to (?:say|determine|answer)|"
    r"not enough information|insufficient information|no (?:valid )?solution (?:exists|was found)"
)
_DOUBTS: Final = (
    r"i(?:'m| am) not (?:sure|certain)|i (?:think|believe|guess)|probably|perhaps|maybe|might be|could be|"
    r"not (?:entirely )?(?:sure|certain)|it (?:seems|appears)|my best guess|assuming that|unclear|wait,|hmm|"
    r"let me (?:re-?check|re-?consider|try again)|on second thought|actually,|is incorrect|made a mistake|not valid|"
    r"however, (?:this|that|we)"
)
_REFUSAL = re.compile(rf"\W(?:{_REFUSALS})")
_EITHER = re.compile(rf"\W(?:{_REFUSALS}|{_DOUBTS})")


def hedging_of(text: str) -> Hedging:
    """`refused` when the reply says that it cannot answer, `hedged` when it doubts or corrects itself."""
    low = f" {text.casefold()}"  # several times as fast as a pattern that ignores case and begins with \b
    if _EITHER.search(low) is None:
        return "plain"
    return "refused" if _REFUSAL.search(low) else "hedged"
