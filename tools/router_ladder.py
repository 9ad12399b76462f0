"""Counts what one tier's answer says about another's on recorded outcomes, and writes `data/ladder.json`.

    DEEPTHRIFT_ROUTER_DATA=FOLDER python -m tools.router_ladder

The rows are those of `reasoning_gym_ladder`: seven models, the same questions. Only the coefficients are written.
"""

from __future__ import annotations

import itertools
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import exp, log
from pathlib import Path
from typing import Final

from deepthrift_router._belief.ladder import LadderData
from deepthrift_router.evaluation import LadderRow, read_ladder

DATA: Final = "DEEPTHRIFT_ROUTER_DATA"
TARGET: Final = Path(__file__).parents[1] / "router" / "deepthrift_router" / "data" / "ladder.json"
COSTS: Final[Mapping[str, float]] = {
    "mistral-small-3.1-24b": 0.5,
    "gemma-3-27b": 0.5,
    "llama-3.3-70b": 1,
    "llama-4-maverick": 2,
    "qwq-32b": 20,
    "deepseek-r1": 30,
    "o3-mini": 60,
}
"""Costs of a call: list prices at equal length, an assumption, for no tokens are recorded."""
_ADDED: Final = 1.0
"""Added to each count, so that nothing is taken to be impossible."""


def main() -> None:
    """Write the file, and print what it says."""
    rows = read_ladder(Path(os.environ[DATA]) / "reasoning_gym_ladder.jsonl.gz")
    data = fit(rows, COSTS)
    TARGET.write_text(data.model_dump_json(indent=1) + "\n")
    print(json.dumps(data.model_dump(), indent=1))


def fit(rows: Sequence[LadderRow], costs: Mapping[str, float]) -> LadderData:
    """The coefficients from `rows`."""
    return LadderData(
        version="1",
        source="reasoning_gym, easy and hard rows, seven models (open-thought/reasoning-gym-eval@5f09fecc, Apache-2.0)",
        rows=len(rows),
        middle=_middle(rows, costs),
        agreement={"same model": _same_model(rows), "other model": _other_model(rows, costs)},
        third=_third(rows, costs),
    )


def _middle(rows: Iterable[LadderRow], costs: Mapping[str, float]) -> tuple[tuple[float, float], ...]:
    """For each case of the lowest and the highest tier, log odds that a tier between is right: at the lower end, and
    what is added up to the upper one."""
    counts: dict[tuple[int, float], list[float]] = defaultdict(lambda: [_ADDED, _ADDED])
    for row in rows:
        known = sorted((name for name in row.answers if name in costs), key=lambda name: costs[name])
        for low, middle, high in itertools.combinations(known, 3):
            if costs[low] == costs[high]:
                continue
            place = log(costs[middle] / costs[low]) / log(costs[high] / costs[low])
            case = _case(row.right(low), row.right(high))
            counts[case, round(place, 2)][row.right(middle)] += 1
    return tuple(_line([(place, *both) for (of, place), both in counts.items() if of == case]) for case in range(4))


def _line(points: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Logistic regression of right against wrong on the place, by Newton's method."""
    start = slope = 0.0
    for _ in range(50):
        g0 = g1 = h00 = h01 = h11 = 1e-9
        for place, wrong, right in points:
            chance = 1 / (1 + exp(-(start + slope * place)))
            error, weight = right - (wrong + right) * chance, (wrong + right) * chance * (1 - chance)
            g0, g1 = g0 + error, g1 + error * place
            h00, h01, h11 = h00 + weight, h01 + weight * place, h11 + weight * place * place
        h11 += 1.0  # a weak pull to no slope, where all points lie together
        g1 -= slope
        det = h00 * h11 - h01 * h01
        start, slope = start + (h11 * g0 - h01 * g1) / det, slope + (h00 * g1 - h01 * g0) / det
    return round(start, 4), round(slope, 4)


def _other_model(rows: Iterable[LadderRow], costs: Mapping[str, float]) -> dict[str, tuple[float, ...]]:
    """How often first answers of two models agree, by which of them is right."""
    counts = _counts(("agree", "differ"))
    for row in rows:
        known = sorted((name for name in row.answers if name in costs), key=lambda name: costs[name])
        for low, high in itertools.combinations(known, 2):
            one, other = row.answers[low][0], row.answers[high][0]
            if one is not None and other is not None:
                counts["agree" if one == other else "differ"][_case(row.right(low), row.right(high))] += 1
    return _shares(counts)


def _same_model(rows: Iterable[LadderRow]) -> dict[str, tuple[float, ...]]:
    """How often two answers of one model agree, by which of them is right."""
    counts = _counts(("agree", "differ"))
    for row in rows:
        for name, answers in row.answers.items():
            if len(answers) > 1 and answers[0] is not None and answers[1] is not None:
                case = _case(row.right(name), row.right(name, 1))
                counts["agree" if answers[0] == answers[1] else "differ"][case] += 1
    return _shares(counts)


def _third(rows: Iterable[LadderRow], costs: Mapping[str, float]) -> dict[str, tuple[float, ...]]:
    """With which of two differing samples of one model another model's answer sides."""
    counts = _counts(("agree", "other", "neither"))
    for row in rows:
        known = sorted((name for name in row.answers if name in costs), key=lambda name: costs[name])
        for low, high in itertools.combinations(known, 2):
            samples, answer = row.answers[low], row.answers[high][0]
            if len(samples) < 2 or answer is None or None in samples[:2] or samples[0] == samples[1]:
                continue
            outcome = "agree" if answer == samples[0] else "other" if answer == samples[1] else "neither"
            counts[outcome][_case(row.right(low), row.right(high))] += 1
    return _shares(counts)


def _case(low: bool, high: bool) -> int:
    """Both right, only the lower one, only the higher one, neither."""
    return (0 if high else 1) if low else (2 if high else 3)


def _counts(outcomes: Sequence[str]) -> dict[str, list[float]]:
    return {name: [_ADDED] * 4 for name in outcomes}


def _shares(counts: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, ...]]:
    totals = [sum(each[case] for each in counts.values()) for case in range(4)]
    return {
        name: tuple(round(count / total, 5) for count, total in zip(each, totals, strict=True))
        for name, each in counts.items()
    }


if __name__ == "__main__":
    main()
