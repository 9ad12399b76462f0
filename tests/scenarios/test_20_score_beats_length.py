"""20. The score made before the call beats prompt length on held-out labels.

The shipped prior was fitted on all recorded rows, so none of them can judge it. Here a prior is fitted by the same tool
on three quarters of the questions, and judged on the others: questions that it has not seen, of families that it has.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import pytest

from deepthrift_router import Prior
from deepthrift_router.evaluation import Outcome, read_outcomes, write_outcomes

FOLDER = os.environ.get("DEEPTHRIFT_ROUTER_DATA")
FILES = ("reasoning_gym_maverick_r1", "medagents_dsv3_dsr1", "zeroeval_o1mini_pairs")
TOOL = Path(__file__).parents[2] / "tools" / "train_router.py"
LEAST = 40
"""Rows of a dataset below which nothing is said of it."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER, reason="DEEPTHRIFT_ROUTER_DATA names no folder of recorded outcomes"),
    pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="the prior is fitted with scikit-learn"),
]


class Judged(NamedTuple):
    """One held-out row."""

    fails: bool
    score: float
    length: float


def recorded() -> tuple[list[Outcome], list[Outcome]]:
    """A quarter of the recorded rows, by question: those to fit on, and those that are held out."""
    seen: list[Outcome] = []
    held: list[Outcome] = []
    for row in read_outcomes(*(Path(FOLDER or "") / f"{name}.jsonl.gz" for name in FILES)):
        draw = int(hashlib.sha256(row.question.encode()).hexdigest(), 16) % 16
        if draw < 4:
            (seen if draw else held).append(row)
    return seen, held


def fitted(rows: Sequence[Outcome], folder: Path) -> Prior:
    """A prior fitted on `rows`, read back as a user's own would be."""
    mine, out = folder / "mine.jsonl", folder / "prior.json"
    write_outcomes(mine, rows)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, str(TOOL), "--rows", str(mine), "--prior", str(out)]
    subprocess.run(command, check=True, env={**os.environ, **threads})
    return Prior.model_validate_json(out.read_bytes())


def auc(rows: Sequence[tuple[float, bool]]) -> float:
    """How often a failure has the higher value of the two; ties count one half."""
    below, right, pairs = 0, 0.0, 0
    for _, together in groupby(sorted(rows), key=lambda row: row[0]):
        same = [fails for _, fails in together]
        failures = sum(same)
        right += failures * (below + (len(same) - failures) / 2)
        below += len(same) - failures
        pairs += failures
    return right / (pairs * below)


def mean_auc(datasets: Sequence[Sequence[Judged]]) -> tuple[float, float]:
    """By the score and by the length, within each dataset: telling datasets apart is no merit."""
    by_score = [auc([(row.score, row.fails) for row in rows]) for rows in datasets]
    return fmean(by_score), fmean(auc([(row.length, row.fails) for row in rows]) for rows in datasets)


def test_the_score_beats_prompt_length_on_questions_it_has_not_seen(tmp_path: Path) -> None:
    seen, held = recorded()
    assert not {row.question for row in seen} & {row.question for row in held}
    prior = fitted(seen, tmp_path)
    judged: dict[str, list[Judged]] = defaultdict(list)
    for row in held:
        risk = 1 - prior.score(row.conversation).p_standard
        judged[f"{row.dataset} {row.pair}"].append(Judged(not row.standard_right, risk, len(row.question)))
    datasets = [
        rows for rows in judged.values() if len(rows) >= LEAST and 5 <= sum(row.fails for row in rows) <= len(rows) - 5
    ]
    assert len(datasets) >= 8
    by_score, by_length = mean_auc(datasets)
    draw = random.Random(20)
    leads = []
    for _ in range(200):
        again = [draw.choices(rows, k=len(rows)) for rows in datasets]
        if all(0 < sum(row.fails for row in rows) < len(rows) for rows in again):
            score, length = mean_auc(again)
            leads.append(score - length)
    assert by_score > 0.62
    assert by_score > by_length
    assert sorted(leads)[len(leads) // 20] > 0  # with 95 % confidence
