"""Likelihoods of the signals, from recorded outcomes: how often each outcome is seen in each of the four cases."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from router_rows import Row

from deepthrift_router._answers import same_answer
from deepthrift_router._hedging import hedging_of

SMOOTHING = 20.0
"""Pseudo-observations of a condition's table, drawn from the table over all conditions."""


def fit_signals(rows: list[Row], weights: np.ndarray, prior: np.ndarray, version: str) -> dict:
    """The tables of every signal that has data."""
    return {
        "version": version,
        "signals": {
            "agreement": _tables(
                _agreement(rows),
                ["agree", "disagree", "no_answer"],
                "reasoning_gym, easy rows, llama-4-maverick and llama-3.3-70b: first sample against the others",
            ),
            "hedging": _tables(
                _hedging(rows, weights),
                ["plain", "hedged", "refused"],
                "recorded standard answers with full text: reasoning_gym, zeroeval, misguided_attention, farel",
            ),
            "confirmation": _tables(
                _confirmation(rows, weights),
                ["agree", "disagree"],
                "all rows with both final answers: the standard answer against the thinking one",
            ),
        },
    }


def _agreement(rows: list[Row]) -> list[tuple[str, str, int, float]]:
    seen = []
    for row in rows:
        if not row.easy or row.samples[0] is None:
            continue
        first = row.samples[0]
        for other in row.samples[1:3]:
            outcome = "no_answer" if other is None else "agree" if same_answer(first, other) else "disagree"
            seen.append((first.kind, outcome, row.cell, 0.5))
    return seen


def _hedging(rows: list[Row], weights: np.ndarray) -> list[tuple[str, str, int, float]]:
    return [
        ("any", hedging_of(row.standard_answer), row.cell, float(weight))
        for row, weight in zip(rows, weights, strict=True)
        if row.standard_answer and row.source != "medagents"
    ]


def _confirmation(rows: list[Row], weights: np.ndarray) -> list[tuple[str, str, int, float]]:
    return [
        (
            row.standard_form.kind,
            "agree" if same_answer(row.standard_form, row.thinking_form) else "disagree",
            row.cell,
            float(weight),
        )
        for row, weight in zip(rows, weights, strict=True)
        if row.standard_form is not None and row.thinking_form is not None
    ]


def _tables(seen: list[tuple[str, str, int, float]], outcomes: list[str], source: str) -> dict:
    counts: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((len(outcomes), 4)))
    for condition, outcome, cell, weight in seen:
        counts["any"][outcomes.index(outcome), cell] += weight
        if condition != "any":
            counts[condition][outcomes.index(outcome), cell] += weight
    overall = (counts["any"] + 0.5) / (counts["any"] + 0.5).sum(0)
    tables = {}
    for condition, count in counts.items():
        table = overall if condition == "any" else (count + SMOOTHING * overall) / (count.sum(0) + SMOOTHING)
        tables[condition] = {
            outcome: [round(float(x), 4) for x in table[number]] for number, outcome in enumerate(outcomes)
        }
    return {"source": source, "rows": len(seen), "tables": dict(sorted(tables.items()))}
