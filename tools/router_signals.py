"""Likelihoods of the signals, from recorded outcomes: how often each outcome is seen in each of the four cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from router_answers import FAMILIAR, UNFAMILIAR, Observations, answer_tables, observe
from router_rows import Row, Start

from deepthrift_router._answers.hedging import hedging_of
from deepthrift_router._belief.likelihoods import Likelihoods
from deepthrift_router._belief.verification import AGREEMENT, CROSS_CHECK, EXTENT, HEDGING, THIRD, check_outcome

EASY = "reasoning_gym, easy rows, llama-4-maverick and llama-3.3-70b, three samples each"
MEDICAL = "medagents, DeepSeek-V3 checked by gpt-4o-mini and Llama-3.3-70B"
CHECKERS = ("gpt-4o-mini", "Llama-3.3-70B-Instruct-Turbo")
HEDGED = ("plain", "hedged", "refused")
HEDGING_TEMPER = (0.5, 0.25)
"""Hedging is taken for half of what it seems, and for less where the prior knows the question."""
EXTENT_TEMPER = (0.5, 1.0)
"""So is the length of the answer on unfamiliar questions: what it means differs from task to task."""
NO_SWITCH = [[float(row == column) for column in range(4)] for row in range(4)]
"""What a third sample on the side of the second says is about the second at once."""

Seen = list[tuple[str, str, int, float]]
"""Condition, outcome, case and weight of each observation."""


class Signals:
    """What is needed to fit the likelihoods again and again, on other folds."""

    def __init__(self, rows: list[Row], weights: np.ndarray, version: str) -> None:
        self._rows = rows
        self._version = version
        self._answers: Observations = observe(rows, weights)
        self._hedging = [hedging_of(row.standard_answer) if row.standard_answer else "" for row in rows]
        self._checks = [check_outcomes(row) for row in rows]

    def fit(self, train: np.ndarray, start: Start) -> Likelihoods:
        """The likelihoods of every signal that has data, on the rows that `train` marks."""
        rows = [row for row, inside in zip(self._rows, train, strict=True) if inside]
        hedging = _table(self._hedging_seen(train), HEDGED)
        logs = np.array([np.log(np.array(hedging[name])) if name else np.zeros(4) for name in self._hedging])
        unfamiliar = answer_tables(self._answers, start.unfamiliar + HEDGING_TEMPER[0] * logs, train, UNFAMILIAR)
        familiar = answer_tables(self._answers, start.familiar + HEDGING_TEMPER[1] * logs, train, FAMILIAR)
        easy = sum(row.easy for row in rows)
        signals: dict[str, object] = {
            HEDGING: {
                "source": "recorded standard answers with their full text",
                "rows": sum(1 for row in rows if row.standard_answer and row.source != "medagents"),
                "temper": HEDGING_TEMPER,
                "tables": {"any": hedging},
            },
            CROSS_CHECK: {
                "source": MEDICAL,
                "rows": sum(1 for row in rows if row.others),
                "temper": (1.0, 1.0),
                "tables": self.check_tables(train),
            },
        }
        for name in (EXTENT, AGREEMENT, THIRD):
            signals[name] = {
                "source": EASY,
                "rows": easy,
                "temper": EXTENT_TEMPER if name == EXTENT else (1.0, 1.0),
                "tables": familiar[name],
                "unfamiliar": unfamiliar[name],
            }
        return Likelihoods.model_validate({"version": self._version, "signals": signals, "switch": NO_SWITCH})

    def _hedging_seen(self, train: np.ndarray) -> Seen:
        told = [
            (row, name)
            for row, name, inside in zip(self._rows, self._hedging, train, strict=True)
            if inside and name and row.source != "medagents"
        ]
        weights = _weights([row for row, _ in told])
        return [("any", name, row.cell, weights[row.category]) for row, name in told]

    def check_tables(self, train: np.ndarray) -> dict[str, dict[str, list[float]]]:
        """One check by either of two cheap models; both of them, looked at together."""
        one: Seen = []
        two: Seen = []
        for row, outcomes, inside in zip(self._rows, self._checks, train, strict=True):
            if inside and outcomes:
                one += [("any", name, row.cell, 0.5) for name in outcomes[:2]]
                two.append(("of 2", outcomes[2], row.cell, 1.0))
        if not two:
            return {}
        return {
            "any": _table(one, ("agree", "disagree", "no_answer")),
            "of 2": _table(two, ("both", "first", "second", "against", "differ")),
        }


def check_outcomes(row: Row) -> tuple[str, str, str] | tuple[()]:
    if row.source != "medagents" or row.standard_form is None:
        return ()
    others = [row.other_forms.get(name) for name in CHECKERS]
    one, other = (check_outcome(row.standard_form, [each]) for each in others)
    return one, other, check_outcome(row.standard_form, others)


def _weights(rows: Sequence[Row]) -> dict[str, float]:
    """A category counts by the square root of its size, so that no task drowns the others."""
    sizes = Counter(row.category for row in rows)
    mean = np.mean([sizes[row.category] ** -0.5 for row in rows])
    return {name: size**-0.5 / float(mean) for name, size in sizes.items()}


def _table(seen: Seen, outcomes: Sequence[str]) -> dict[str, list[float]]:
    counts = np.full((len(outcomes), 4), 0.5)
    for _, outcome, cell, weight in seen:
        counts[list(outcomes).index(outcome), cell] += weight
    shares = counts / counts.sum(0)
    return {outcome: [round(float(x), 5) for x in shares[number]] for number, outcome in enumerate(outcomes)}
