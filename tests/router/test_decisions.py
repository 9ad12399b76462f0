"""The router's decisions on recorded rows are those that were frozen; a change of the router has to show what it moves.

`python -m tests.router.decisions` lists the differences, and `--freeze` accepts them.
"""

from __future__ import annotations

import pytest

from tests.router.decisions import FOLDER, MADE_UP, Decided, decided, differences, frozen, now
from tests.router.recorded import made_up


def close(before: list[Decided], after: list[Decided]) -> None:
    """Everything that is decided is the same; probabilities to what a platform's arithmetic may differ in."""
    for one, other in zip(before, after, strict=True):
        assert one[:4] == other[:4]
        assert one[4:] == pytest.approx(other[4:], abs=2e-5)


def test_decisions_on_made_up_rows_are_as_they_were() -> None:
    close([each for each in frozen() if each.source == MADE_UP], [*decided(made_up(), MADE_UP)])


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER, reason="DEEPTHRIFT_ROUTER_DATA names no folder of recorded outcomes")
def test_decisions_on_recorded_rows_are_as_they_were() -> None:
    close(frozen(), now())


def test_a_difference_is_said() -> None:
    [first, *rest] = frozen()
    moved = first._replace(path="standard sample escalate", p_standard=0.5)
    assert differences([first, *rest], [moved, *rest]) == [
        f"{first.source} {first.key}: {first[2:]} is now {moved[2:]}"
    ]
    assert differences(rest, [first]) == [f"{first.source} {first.key}: new"]
