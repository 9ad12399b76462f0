"""Recorded outcomes for training and evaluating the router: reading, features, folds.

The folder is named by the environment variable DEEPTHRIFT_ROUTER_DATA: JSON Lines, gzip, one recorded question a line.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from deepthrift_router._answers.answers import Answer, normal_form
from deepthrift_router._answers.features import Features, text_features
from deepthrift_router.evaluation import read_outcomes

DATA = "DEEPTHRIFT_ROUTER_DATA"


@dataclass
class Row:
    """One question with the recorded outcome of both modes."""

    id: str
    file: str
    source: str
    dataset: str
    category: str
    query: str
    pair: str
    standard: int
    thinking: int
    standard_answer: str | None
    standard_tokens: int | None
    thinking_tokens: int | None
    samples_right: list[int]
    samples: list[Answer | None]
    thinking_samples_right: list[int]
    standard_form: Answer | None
    thinking_form: Answer | None
    others: dict[str, str]
    other_forms: dict[str, Answer | None]
    features: Features = field(repr=False)

    @property
    def cell(self) -> int:
        """0 both right, 1 only standard, 2 only thinking, 3 neither."""
        return (0 if self.thinking else 1) if self.standard else (2 if self.thinking else 3)

    @property
    def easy(self) -> bool:
        return self.source == "reasoning_gym_easy"


@dataclass
class Start:
    """Log weights of the four cases of every row before any answer is seen, out of fold."""

    unfamiliar: np.ndarray
    """The rates of the row's pair of models, moved by the length of the question."""
    familiar: np.ndarray
    """The shrunk prior, with questions left out."""


def folder() -> Path:
    if DATA not in os.environ:
        sys.exit(f"set {DATA} to the folder with the recorded outcomes (JSON Lines, gzip)")
    return Path(os.environ[DATA])


def read_rows(files: Iterable[Path] | None = None) -> list[Row]:
    """Every row, in a fixed order."""
    features: dict[str, Features] = {}
    rows = []
    for path in sorted(folder().glob("*.jsonl.gz")) if files is None else files:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            name = path.name.removesuffix(".jsonl.gz")
            rows += [_row(json.loads(line), name, features) for line in lines]
    return rows


def own_rows(path: Path) -> list[Row]:
    """The graded rows of any file that `deepthrift evaluate` reads, such as what `deepthrift collect` writes."""
    features: dict[str, Features] = {}
    graded = [outcome for outcome in read_outcomes(path) if outcome.graded]
    return [_row({**each.model_dump(), "query": each.question}, path.stem, features) for each in graded]


def _row(raw: dict, file: str, features: dict[str, Features]) -> Row:
    query = raw["query"]
    if query not in features:
        features[query] = text_features(query)
    extra = raw["standard_extra"] or {}
    finals = extra.get("sample_finals") if raw["source"].startswith("reasoning_gym") else None

    def form(text: str | None) -> Answer | None:
        return normal_form(text, query) if text else None

    return Row(
        id=raw["id"],
        file=file,
        source=raw["source"],
        dataset=raw["dataset"],
        category=f"{raw['dataset']}/{raw['category']}",
        query=query,
        pair=f"{raw['standard_model']}>{raw['thinking_model']}",
        standard=int((raw["standard_correct"] or 0) >= 0.5),
        thinking=int((raw["thinking_correct"] or 0) >= 0.5),
        standard_answer=raw["standard_answer"],
        standard_tokens=raw["standard_tokens"],
        thinking_tokens=raw["thinking_tokens"],
        samples_right=[int(x >= 0.5) for x in raw["standard_samples_correct"] or []],
        samples=[form(text) for text in finals or []],
        thinking_samples_right=[int(x >= 0.5) for x in raw["thinking_samples_correct"] or []],
        standard_form=form(raw["standard_final"]),
        thinking_form=form(raw["thinking_final"]),
        others=extra.get("other_models") or {},
        other_forms={name: form(text) for name, text in (extra.get("other_models") or {}).items()},
        features=features[query],
    )


def query_folds(rows: list[Row], folds: int = 4) -> np.ndarray:
    """In family: folds by the question, so that no question is on both sides under another model pair."""
    return np.array([int(hashlib.sha256(row.query.encode()).hexdigest(), 16) % folds for row in rows])


BUNDLES = (
    ("rg_algorithmic",),
    ("rg_games", "rg_code"),
    ("rg_arithmetic", "rg_geometry"),
    ("rg_algebra", "rg_arc", "rg_cognition", "rg_induction"),
    ("rg_logic", "rg_graphs"),
    ("ze_crux", "ze_gsm"),
    ("farel", "misguided"),
)
"""Datasets that are left out together; the medical ones are one family."""


def family_folds(rows: list[Row]) -> np.ndarray:
    """Never seen: whole datasets are left out, and nothing of theirs is in training."""
    place = {name: number for number, names in enumerate(BUNDLES) for name in names}
    return np.array([place.get(row.dataset, len(BUNDLES)) for row in rows])


def category_folds(rows: list[Row], folds: int = 10) -> np.ndarray:
    """Never seen, finer: each fold holds whole task categories; datasets of one category are left out whole."""
    return np.array([int(hashlib.sha256(row.category.encode()).hexdigest(), 16) % folds for row in rows])


def balance(rows: list[Row]) -> np.ndarray:
    """Weights that keep a large dataset from drowning the others: by one over the square root of its size."""
    keys = [(row.dataset, row.pair, row.source) for row in rows]
    counts = {key: keys.count(key) for key in set(keys)}
    weights = np.array([counts[key] ** -0.5 for key in keys])
    return weights / weights.mean()
