"""Recorded outcomes for tests: a few made-up ones, and real ones where DEEPTHRIFT_ROUTER_DATA names their folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from deepthrift_router.evaluation import Extra, Outcome, read_outcomes


def made_up(rows: int = 60) -> list[Outcome]:
    """Sums, of which standard mode gets the long ones wrong now and then, with two further samples each."""
    found: list[Outcome] = []
    for number in range(rows):
        hard = number % 3 == 0
        right = number * 7 + 11
        wrong = right + 1 + number % 4
        said = wrong if hard and number % 2 else right
        samples = [said, right, wrong if hard else right]
        texts = (f"Let me add them up.\n\nThe answer is {said}.", *(f"The answer is {each}." for each in samples[1:]))
        cut = number % 20 == 19
        found.append(
            Outcome(
                id=f"sum-{number}",
                query=f"Add {number} times seven and eleven, {'step by step' if hard else 'at once'}: number {number}",
                dataset="hard" if hard else "easy",
                category="sums",
                standard_correct=float(said == right and not cut),
                thinking_correct=float(number % 17 != 0),
                standard_samples_correct=tuple(float(each == right) for each in samples),
                standard_tokens=12,
                thinking_tokens=200 + 10 * number,
                standard_answer="Let me add them" if cut else texts[0],
                standard_finish="length" if cut else "stop",
                thinking_final=str(right),
                standard_extra=Extra(sample_answers=texts),
                reference=str(right),
            )
        )
    return found


def real(name: str, source: str, rows: int) -> list[Outcome]:
    """Rows with different questions of one recorded file, spread over it; empty where the data are not at hand."""
    folder = os.environ.get("DEEPTHRIFT_ROUTER_DATA")
    if not folder:
        return []
    outcomes = read_outcomes(Path(folder) / f"{name}.jsonl.gz")
    questions = {each.question: each for each in outcomes if each.source == source and each.graded}
    return spread(list(questions.values()), rows)


def spread(outcomes: Sequence[Outcome], rows: int) -> list[Outcome]:
    """So many of them, evenly."""
    step = max(1, len(outcomes) // rows)
    return list(outcomes[::step][:rows])
