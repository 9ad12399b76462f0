"""The likelihoods of what standard answers look like and how they agree, from two small linear models.

One is for questions that the prior does not know: base rates, how long the answer is, and how the samples agree. The
other starts from the prior's own belief. Between the two the router mixes by the weight of its score. Each is a model
of the four cases with thirteen states of agreement and a parabola in the logarithm of the answer's length, nothing
more, so that what it says of task families that it has not seen is what it says of those that it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from router_rows import Row
from scipy.optimize import minimize

from deepthrift_router._answers.answers import same_answer
from deepthrift_router._belief.verification import AGREEMENT, CLOSED, EXTENT, THIRD, extent_of

LENGTHS = {"1-2": 1.5, "3-4": 3.5, "5-8": 6.3, "9-16": 12, "17-40": 26, "41-120": 70, "121-": 200}
"""A length in the middle of each span, in characters."""
SECOND = ("agree", "disagree", "no_answer")
THIRDS = {
    "agreed": ("agree", "disagree", "no_answer"),
    "split": ("with_first", "with_second", "with_neither", "no_answer"),
    "unanswered": ("with_first", "with_neither", "no_answer"),
}
AFTER = {"agree": "agreed", "disagree": "split", "no_answer": "unanswered"}
STATES = [("", name) for name in SECOND] + [(state, name) for state, names in THIRDS.items() for name in names]
UNFAMILIAR, FAMILIAR = 20.0, 5.0
"""How strongly the two models are held back."""
SMOOTHING = 20.0

Tables = dict[str, dict[str, dict[str, list[float]]]]


def extent_features(extent: str) -> list[float]:
    """A parabola in the logarithm of the length; answers chosen from a given few stand apart."""
    if extent == CLOSED:
        return [0.0, 0.0, 1.0]
    place = max(-2.0, min(3.0, (log(1 + LENGTHS[extent]) - log(6)) / 1.5))
    return [place, place * place, 0.0]


@dataclass
class Observations:
    """What was seen of each recorded answer at each stage: features, case, weight and the row that it came from."""

    first: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    later: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    extents: list[str]
    """Of each later observation."""
    states: list[int]


def observe(rows: Sequence[Row], weights: np.ndarray) -> Observations:
    """Every easy row that has an answer, with its further samples in both orders."""
    first: list[tuple[list[float], int, float, int]] = []
    later: list[tuple[list[float], int, float, int]] = []
    extents, states = [], []
    for number, row in enumerate(rows):
        if not row.easy or row.samples[0] is None:
            continue
        extent, weight = extent_of(row.samples[0]), float(weights[number])
        shape = extent_features(extent)
        if extent != CLOSED:
            first.append(([*shape[:2], 1.0], row.cell, weight, number))
        for order in ((1, 2), (2, 1)):
            second = row.samples[order[0]]
            outcome = "no_answer" if second is None else "agree" if same_answer(row.samples[0], second) else "disagree"
            end = third_outcome(row, order)
            chosen = order[0] if end == "with_second" else 0
            right = row.samples_right[chosen]
            case = (0 if row.thinking else 1) if right else (2 if row.thinking else 3)
            for key, cell in ((("", outcome), row.cell), ((AFTER[outcome], end), case)):
                state = STATES.index(key)
                later.append(
                    ([*shape, *(float(state == each) for each in range(len(STATES)))], cell, weight / 2, number)
                )
                extents.append(extent)
                states.append(state)
    return Observations(_columns(first), _columns(later), extents, states)


def third_outcome(row: Row, order: tuple[int, int]) -> str:
    """How the third sample stands to the first two."""
    first, second, third = row.samples[0], row.samples[order[0]], row.samples[order[1]]
    agreed = first is not None and second is not None and same_answer(first, second)
    if third is None:
        return "no_answer"
    if first is not None and same_answer(first, third):
        return "agree" if agreed else "with_first"
    if agreed:
        return "disagree"
    return "with_second" if second is not None and same_answer(second, third) else "with_neither"


def _columns(seen: list[tuple[list[float], int, float, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.array([each[0] for each in seen]),
        np.array([each[1] for each in seen]),
        np.array([each[2] for each in seen]),
        np.array([each[3] for each in seen]),
    )


def fit_linear(
    features: np.ndarray, start: np.ndarray, cells: np.ndarray, weights: np.ndarray, hold: float
) -> np.ndarray:
    """Weights of the features for the four cases, beside log weights to start from."""
    wanted, count = np.eye(4)[cells], features.shape[1]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        matrix = flat.reshape(count, 4)
        logits = start + features @ matrix
        logits = logits - logits.max(1, keepdims=True)
        powers = np.exp(logits)
        sums = powers.sum(1, keepdims=True)
        missed = -(weights * (logits[np.arange(len(logits)), cells] - np.log(sums[:, 0]))).sum()
        slope = features.T @ ((powers / sums - wanted) * weights[:, None])
        return float(missed + hold * (matrix**2).sum() / 2), (slope + hold * matrix).ravel()

    found = minimize(loss, np.zeros(count * 4), jac=True, method="L-BFGS-B", options={"maxiter": 80, "ftol": 1e-7})
    return found.x.reshape(count, 4)


def answer_tables(seen: Observations, start: np.ndarray, train: np.ndarray, hold: float) -> Tables:
    """Tables of the three signals, fitted on the rows that `train` marks; `start` are the log weights before."""
    first = _fit(seen.first, start, train, hold)
    later = _fit(seen.later, start, train, hold)
    alone = {extent: first[:2].T @ extent_features(extent)[:2] + first[2] for extent in LENGTHS}
    alone[CLOSED] = np.zeros(4)
    shape = {extent: later[:3].T @ extent_features(extent) for extent in alone}
    state = {key: later[3 + number] for number, key in enumerate(STATES)}
    inside = train[seen.later[3]]
    cells, weights = seen.later[1][inside], seen.later[2][inside]
    where = np.array(seen.extents)[inside]
    states = np.array(seen.states)[inside]
    tables: Tables = {EXTENT: {}, AGREEMENT: {}, THIRD: {}}
    tables[EXTENT]["any"] = _scaled(
        {extent: alone[extent] for extent in LENGTHS},
        np.array([weights[(where == extent) & (states < 3)].sum() for extent in LENGTHS]),
        _case_shares(cells[states < 3], weights[states < 3]),
    )
    overall = np.array([weights[states == number].sum() for number in range(3)])
    for extent in (*LENGTHS, CLOSED, "any"):
        here = (states < 3) & ((where == extent) | (extent == "any"))
        counts = np.array([weights[here & (states == number)].sum() for number in range(3)])
        moved = 0.0 if extent == "any" else shape[extent] - alone[extent]
        tables[AGREEMENT][extent] = _scaled(
            {name: state["", name] + moved for name in SECOND},
            counts + SMOOTHING * overall / overall.sum(),
            _case_shares(cells[here], weights[here]),
        )
    for number, (before, names) in enumerate(THIRDS.items()):
        here = np.isin(states, [STATES.index((before, name)) for name in names])
        outcome = SECOND[number]
        tables[THIRD][before] = _scaled(
            {name: state[before, name] - state["", outcome] for name in names},
            np.array([weights[states == STATES.index((before, name))].sum() for name in names]) + 1,
            _case_shares(cells[here], weights[here]),
        )
    tables[THIRD]["any"] = tables[THIRD]["split"]
    return tables


def _fit(
    seen: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], start: np.ndarray, train: np.ndarray, hold: float
) -> np.ndarray:
    features, cells, weights, rows = seen
    inside = train[rows]
    return fit_linear(features[inside], start[rows[inside]], cells[inside], weights[inside], hold)


def _case_shares(cells: np.ndarray, weights: np.ndarray) -> np.ndarray:
    shares = np.bincount(cells, weights=weights, minlength=4) + 1
    return shares / shares.sum()


def _scaled(ratios: dict[str, np.ndarray], counts: np.ndarray, cases: np.ndarray) -> dict[str, list[float]]:
    """Likelihoods in proportion to `ratios` that add up to 1 in every case, each outcome as frequent as it was seen."""
    shares = (counts + 1e-3) / (counts + 1e-3).sum()
    table = np.exp(np.array(list(ratios.values())) - np.max(list(ratios.values())))
    for _ in range(500):
        table *= (shares / (table @ cases))[:, None]
        table /= table.sum(0)
    table = np.maximum(table, 1e-5)
    table /= table.sum(0)
    return {name: [round(float(x), 5) for x in row] for name, row in zip(ratios, table, strict=True)}
