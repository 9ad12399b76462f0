"""Likelihoods of the signals, from recorded outcomes: how often each outcome is seen in each of the four cases."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
from router_rows import Row, family_folds, query_folds

from deepthrift_router._answers import same_answer
from deepthrift_router._belief import Belief
from deepthrift_router._hedging import hedging_of
from deepthrift_router._likelihoods import Likelihoods
from deepthrift_router._verification import AGREEMENT, CLOSED, EXTENT, HEDGING, THIRD, extent_of, replay

SMOOTHING = 20.0
"""Pseudo-observations of a condition's table, drawn from the table over all conditions."""
EASY = "reasoning_gym, easy rows, llama-4-maverick and llama-3.3-70b, three samples each"
TEMPERS = (0.0, 0.25, 0.5, 0.75, 1.0)

Seen = list[tuple[str, str, int, float]]
"""Condition, outcome, case and weight of each observation."""


def count_signals(rows: Sequence[Row], version: str, tempers: dict[str, tuple[float, float]]) -> Likelihoods:
    """The tables of every signal that has data, counted on `rows`."""
    sources: list[tuple[str, Callable[[Sequence[Row]], Seen], list[str], str]] = [
        (EXTENT, _extent, ["1-2", "3-4", "5-8", "9-16", "17-40", "41-120", "121-"], EASY),
        (HEDGING, _hedging, ["plain", "hedged", "refused"], "recorded standard answers with their full text"),
        (AGREEMENT, _agreement, ["agree", "disagree", "no_answer"], EASY),
        (THIRD, _third, ["agree", "disagree", "with_first", "with_second", "with_neither", "no_answer"], EASY),
    ]
    signals = {}
    for name, observe, outcomes, source in sources:
        seen = observe(rows)
        signals[name] = {
            "source": source,
            "rows": len(seen),
            "temper": tempers.get(name, (1.0, 1.0)),
            "tables": _tables(seen, outcomes),
        }
    return Likelihoods.model_validate({"version": version, "signals": signals, "switch": _switch(rows)})


def fit_signals(
    rows: list[Row], never_seen: tuple[np.ndarray, np.ndarray], in_family: tuple[np.ndarray, np.ndarray], version: str
) -> tuple[Likelihoods, dict[str, float]]:
    """The likelihoods of all rows, with the tempers that predict best where they were not counted.

    `never_seen` and `in_family` are out-of-fold probabilities of the four cases and the weights of the prior. Tempers
    for unfamiliar questions are chosen on whole families left out, those for familiar ones on questions left out.
    """
    chosen: dict[str, tuple[float, float]] = {}
    losses = {}
    # Agreement first, for it says most; then what the answer looks like, given that.
    for names in ((AGREEMENT,), (THIRD,), (EXTENT,), (HEDGING,)):
        best = []
        for (prior, weight), folds in ((never_seen, family_folds(rows)), (in_family, query_folds(rows))):
            tried = {}
            for value in TEMPERS:
                trial = {**dict.fromkeys(_ALL, (0.0, 0.0)), **chosen, **dict.fromkeys(names, (value, value))}
                tried[value] = held_out_loss(rows, prior, weight, folds, trial)
            best.append(min(tried, key=lambda value: tried[value]))
            losses[f"{names[0]} {'never seen' if folds is not None and len(best) == 1 else 'in family'}"] = min(
                tried.values()
            )
        for name in names:
            chosen[name] = (best[0], best[1])
    return count_signals(rows, version, chosen), losses


_ALL = (AGREEMENT, THIRD, EXTENT, HEDGING)


def held_out_loss(
    rows: list[Row], prior: np.ndarray, weight: np.ndarray, folds: np.ndarray, tempers: dict[str, tuple[float, float]]
) -> float:
    """Mean log loss of the four cases on easy rows, whose folds were neither used to fit nor to count."""
    losses = []
    for fold in sorted(set(folds)):
        test = [i for i in np.flatnonzero(folds == fold) if rows[i].easy]
        if not test:
            continue
        tables = counted(rows, folds, int(fold)).model_copy()
        tables = Likelihoods.model_validate(
            {
                **tables.model_dump(),
                "signals": {
                    name: {**data.model_dump(), "temper": tempers[name]} for name, data in tables.signals.items()
                },
            }
        )
        for i in test:
            cells = believed(rows[i], prior[i], float(weight[i]), tables).cells
            losses.append(-np.log(max(cells[rows[i].cell], 1e-6)))
    return float(np.mean(losses))


_COUNTED: dict[tuple[int, int, int], Likelihoods] = {}


def counted(rows: list[Row], folds: np.ndarray, fold: int) -> Likelihoods:
    """Tables counted on every fold but one."""
    key = (id(rows), hash(folds.tobytes()), fold)
    if key not in _COUNTED:
        _COUNTED[key] = count_signals([rows[i] for i in np.flatnonzero(folds != fold)], "held-out", {})
    return _COUNTED[key]


def believed(row: Row, prior: np.ndarray, weight: float, tables: Likelihoods, samples: int = 3) -> Belief:
    """What the router believes about the first answer of a recorded row after so many samples."""
    verification = replay(Belief.of(prior), weight, tables, row.standard_answer or "", row.samples[:samples])
    return verification.belief


def _weights(rows: Sequence[Row]) -> dict[str, float]:
    """A category counts by the square root of its size, so that no task drowns the others."""
    sizes = Counter(row.category for row in rows)
    mean = np.mean([sizes[row.category] ** -0.5 for row in rows])
    return {name: size**-0.5 / float(mean) for name, size in sizes.items()}


def _extent(rows: Sequence[Row]) -> Seen:
    easy = [row for row in rows if row.easy]
    weights = _weights(easy)
    return [
        ("any", extent_of(row.samples[0]), row.cell, weights[row.category])
        for row in easy
        if row.samples[0] is not None and extent_of(row.samples[0]) != CLOSED
    ]


def _agreement(rows: Sequence[Row]) -> Seen:
    seen: Seen = []
    easy = [row for row in rows if row.easy]
    weights = _weights(easy)
    for row in easy:
        first = row.samples[0]
        if first is None:
            continue
        for other in row.samples[1:3]:
            outcome = "no_answer" if other is None else "agree" if same_answer(first, other) else "disagree"
            seen.append((extent_of(first), outcome, row.cell, weights[row.category]))
    return seen


def _third(rows: Sequence[Row]) -> Seen:
    easy = [row for row in rows if row.easy]
    weights = _weights(easy)
    seen: Seen = []
    for row, swap in product(easy, (False, True)):
        first, second, third = row.samples[0], *(reversed(row.samples[1:3]) if swap else row.samples[1:3])
        if first is None:
            continue
        agreed = second is not None and same_answer(first, second)
        if third is None:
            outcome = "no_answer"
        elif same_answer(first, third):
            outcome = "agree" if agreed else "with_first"
        elif agreed:
            outcome = "disagree"
        else:
            outcome = "with_second" if second is not None and same_answer(second, third) else "with_neither"
        seen.append(("agreed" if agreed else "split", outcome, row.cell, weights[row.category] / 2))
    return seen


def _switch(rows: Sequence[Row]) -> list[list[float]]:
    """When the third sample sides with the second: from each case of the first, the shares of the second's cases."""
    counts = np.full((4, 4), 0.1)
    for row in rows:
        first, second, third = row.samples if row.easy else (None, None, None)
        if first is None or second is None or third is None or same_answer(first, second):
            continue
        if same_answer(second, third) and not same_answer(first, third):
            right = row.samples_right[1]
            now = (0 if row.thinking else 1) if right else (2 if row.thinking else 3)
            counts[row.cell, now] += 1
    return [[round(float(x), 4) for x in row / row.sum()] for row in counts]


def _hedging(rows: Sequence[Row]) -> Seen:
    told = [row for row in rows if row.standard_answer and row.source != "medagents"]
    weights = _weights(told)
    return [("any", hedging_of(row.standard_answer or ""), row.cell, weights[row.category]) for row in told]


def _tables(seen: Seen, outcomes: list[str]) -> dict[str, dict[str, list[float]]]:
    counts: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((len(outcomes), 4)))
    for condition, outcome, cell, weight in seen:
        counts["any"][outcomes.index(outcome), cell] += weight
        if condition != "any":
            counts[condition][outcomes.index(outcome), cell] += weight
    tables = {}
    for condition, count in counts.items():
        possible = count.sum(1) > 0
        overall = counts["any"] + 0.5
        overall = np.where(possible[:, None], overall, 0)
        overall = overall / overall.sum(0)
        table = overall if condition == "any" else (count + SMOOTHING * overall) / (count.sum(0) + SMOOTHING)
        tables[condition] = {
            outcome: [round(float(x), 4) for x in table[number]]
            for number, outcome in enumerate(outcomes)
            if possible[number]
        }
    return dict(sorted(tables.items()))
