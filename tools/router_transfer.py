"""The little that transfers to unseen task families: how long the question is, and how long answers are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from router_rows import Row
from scipy.optimize import minimize_scalar

from deepthrift_pricing.tokens import count_text

PLAIN = "characters"
"""Of sixteen measures the only one that tells failures within families that it was not fitted on."""
HOLD = 1000.0
HARDER = np.array([-1.0, 0.0, 0.0, 1.0])
"""From both right to neither: length says how hard a question is. In which mode alone it is answered right, and so
whether thinking gains, goes with length in one pair of models and against it in the next."""
SHORT = 0.05
LENGTH_MEASURES = ("characters", "lines", "numbers", "options", "code")
RIDGE = 200.0


@dataclass
class Transfer:
    """What the length of a question adds to the four log weights."""

    mean: float
    scale: float
    weights: np.ndarray
    least: float
    """In spreads below the mean: shorter questions than nineteen of twenty were are not taken to be still easier."""

    def added(self, rows: Sequence[Row]) -> np.ndarray:
        length = np.array([row.features.measures[PLAIN] for row in rows])
        return np.clip((length - self.mean) / self.scale, self.least, 3)[:, None] * self.weights


def fit_transfer(rows: Sequence[Row], weights: np.ndarray) -> Transfer:
    """Fitted within datasets and pairs of models, each with its own rates: what sets them apart is no evidence."""
    length = np.array([row.features.measures[PLAIN] for row in rows])
    keys = np.array([f"{row.dataset} {row.pair}" for row in rows])
    cells = np.array([row.cell for row in rows])
    inside, start = length.copy(), np.zeros((len(rows), 4))
    for key in set(keys):
        here = keys == key
        inside[here] -= length[here].mean()
        counts = np.bincount(cells[here], minlength=4) + 0.5
        start[here] = np.log(counts / counts.sum())
    spread, scale = inside.std(), length.std()
    longer = np.clip(inside / spread, -3, 3)[:, None] * HARDER

    def loss(slope: float) -> float:
        logits = start + slope * longer
        missed = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(rows)), cells]
        return float((weights * missed).sum() + HOLD * slope**2)

    slope = minimize_scalar(loss, bounds=(-1, 1), method="bounded").x
    least = (np.quantile(length, SHORT) - length.mean()) / scale
    return Transfer(float(length.mean()), float(scale), slope * HARDER * scale / spread, float(least))


def transferred(rows: list[Row], weights: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """What the length adds to every row, from a fit that has not seen its fold."""
    added = np.zeros((len(rows), 4))
    for fold in set(folds):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        fitted = fit_transfer([rows[i] for i in train], weights[train])
        added[test] = fitted.added([rows[i] for i in test])
    return added


def fit_length(rows: Sequence[Row], tokens: Sequence[int]) -> dict[str, object]:
    """Completion tokens as a function of a few measures of the question: ridge regression of their logarithm."""
    logs = np.log(np.array(tokens, float) + 1)
    plain = np.array([[row.features.measures[name] for name in LENGTH_MEASURES] for row in rows])
    mean, scale = plain.mean(0), np.maximum(plain.std(0), 0.001)  # it is rounded to four places below
    standard = np.clip((plain - mean) / scale, -3, 3)
    factors = np.linalg.solve(standard.T @ standard + RIDGE * np.eye(len(mean)), standard.T @ (logs - logs.mean()))
    predicted = np.exp(logs.mean() + standard @ factors)
    return {
        "intercept": round(float(logs.mean()), 4),
        "measures": {
            name: [round(float(mean[i]), 4), round(float(scale[i]), 4), round(float(factors[i]), 4)]
            for i, name in enumerate(LENGTH_MEASURES)
        },
        "correction": round(float(np.mean(tokens) / predicted.mean()), 4),
        "most": round(float(np.quantile(tokens, 0.995)), 1),
    }


def predict_length(head: dict[str, object], rows: Sequence[Row]) -> np.ndarray:
    """What such a head expects, at full weight."""
    total = np.full(len(rows), float(head["intercept"]))  # type: ignore[arg-type]
    for name, (mean, scale, factor) in head["measures"].items():  # type: ignore[attr-defined]
        values = np.array([row.features.measures[name] for row in rows])
        total += factor * np.clip((values - mean) / scale, -3, 3)
    return np.minimum(float(head["most"]), float(head["correction"]) * np.exp(total))  # type: ignore[arg-type]


def length_rows(rows: Sequence[Row], mode: str) -> tuple[list[Row], list[int]]:
    """Rows whose completion tokens in `mode` are recorded, or can be counted on their text."""
    if mode == "thinking":
        known = [row for row in rows if row.thinking_tokens]
        return known, [row.thinking_tokens or 0 for row in known]
    told = [row for row in rows if row.standard_answer and row.source != "medagents"]
    return told, [count_text(row.standard_answer or "") for row in told]


def length_figures(rows: list[Row], folds: np.ndarray) -> dict[str, float]:
    """Out of fold: what is expected on the whole over what there was, and the correlation of the logarithms."""
    found: dict[str, float] = {}
    place = {id(row): folds[number] for number, row in enumerate(rows)}
    for mode in ("standard", "thinking"):
        known, tokens = length_rows(rows, mode)
        mine, real = np.array([place[id(row)] for row in known]), np.array(tokens, float)
        expected = np.zeros(len(known))
        for fold in set(mine):
            train = [i for i in range(len(known)) if mine[i] != fold]
            test = np.flatnonzero(mine == fold)
            if not train:
                return found
            head = fit_length([known[i] for i in train], [tokens[i] for i in train])
            expected[test] = predict_length(head, [known[i] for i in test])
        found[f"{mode}_ratio"] = round(float(expected.mean() / real.mean()), 3)
        found[f"{mode}_correlation"] = round(float(np.corrcoef(np.log(expected + 1), np.log(real + 1))[0, 1]), 3)
    return found
