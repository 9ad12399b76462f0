"""Fits the router's prior and the likelihoods of its signals, and writes them with their model card.

    DEEPTHRIFT_ROUTER_DATA=folder python tools/train_router.py
    python tools/train_router.py --rows outcomes.jsonl --prior prior.json

The second line fits a prior alone, on recorded outcomes of your own, for questions of the same families: its score is
used in full. `Prior.model_validate_json` reads it, and `ModeRouter(client, scorer=prior)` uses it.

Every figure on the card is worked out here, on folds that were not used to fit: "in family" leaves questions out,
"never seen" leaves whole datasets out. Needs scikit-learn (`pip install --group train`).
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import os
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from pathlib import Path

import numpy as np
from router_rows import Row, Start, balance, family_folds, own_rows, query_folds, read_rows
from router_signals import Signals
from router_transfer import PLAIN, fit_length, fit_transfer, length_figures, length_rows, transferred
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from deepthrift_pricing.tokens import count_text
from deepthrift_router._answers.features import text_features
from deepthrift_router._belief.prior import Familiarity

OUT = Path(__file__).parents[1] / "router" / "deepthrift_router" / "data"
VERSION = "2026.11"
WORDS = 3000
LEAST_QUESTIONS = 10
LEAST_USES = 5
LEAST_SHARE = 0.02
COMMON = 1.0
PENALTY = 0.02
WORD_SCALE = 1.0
CLIP = 3.0
LEAST_WEIGHT = 0.5

warnings.simplefilter("ignore", ConvergenceWarning)


@dataclass
class Fitted:
    """One fit: a linear model over standardised measures, model pairs and words, with four classes."""

    vocabulary: list[str]
    measures: list[str]
    mean: np.ndarray
    scale: np.ndarray
    pairs: list[str]
    model: LogisticRegression
    familiarity: Familiarity

    def logits(self, rows: Sequence[Row], *, known_pair: bool) -> np.ndarray:
        matrix = _design(rows, self.vocabulary, self.measures, self.mean, self.scale, self.pairs)
        if not known_pair:
            matrix = matrix.tolil()
            matrix[:, len(self.measures) : len(self.measures) + len(self.pairs)] = 1 / len(self.pairs)
            matrix = matrix.tocsr()
        return self.model.decision_function(matrix)


def _design(
    rows: Sequence[Row], words: list[str], measures: list[str], mean: np.ndarray, scale: np.ndarray, pairs: list[str]
) -> sparse.csr_matrix:
    plain = np.array([[row.features.measures[name] for name in measures] for row in rows])
    plain = np.clip((plain - mean) / scale, -CLIP, CLIP)
    who = np.array([[float(row.pair == pair) for pair in pairs] for row in rows])
    index = {word: number for number, word in enumerate(words)}
    columns: list[int] = []
    ends = [0]
    for row in rows:
        columns.extend(sorted(index[word] for word in row.features.words if word in index))
        ends.append(len(columns))
    bag = sparse.csr_matrix((np.full(len(columns), WORD_SCALE), columns, ends), shape=(len(rows), len(words)))
    return sparse.hstack([sparse.csr_matrix(plain), sparse.csr_matrix(who), bag]).tocsr()


def fit(rows: Sequence[Row], weights: np.ndarray) -> Fitted:
    """One fit on `rows`."""
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    for row in rows:
        if row.query not in seen:
            seen.add(row.query)
            counts.update(row.features.words)
    words = sorted(word for word, count in counts.most_common(WORDS) if count >= LEAST_QUESTIONS)
    measures = sorted(name for name in rows[0].features.measures if len({r.features.measures[name] for r in rows}) > 1)
    plain = np.array([[row.features.measures[name] for name in measures] for row in rows])
    mean, scale = plain.mean(0), np.maximum(plain.std(0), 1e-6)
    pairs = sorted({row.pair for row in rows})
    design = _design(rows, words, measures, mean, scale, pairs)
    model = LogisticRegression(C=PENALTY, max_iter=50)
    model.fit(design, [row.cell for row in rows], sample_weight=weights)
    return Fitted(words, measures, mean, scale, pairs, model, fit_familiarity(rows))


def fit_familiarity(rows: Sequence[Row]) -> Familiarity:
    """Which words each family (task category) uses in a fair share of its questions."""
    questions = {row.query: row for row in rows}.values()
    everywhere: Counter[str] = Counter()
    within: dict[str, Counter[str]] = defaultdict(Counter)
    sizes: Counter[str] = Counter()
    for row in questions:
        everywhere.update(row.features.words)
        within[row.category].update(row.features.words)
        sizes[row.category] += 1
    users: dict[str, list[int]] = defaultdict(list)
    for number, (family, counts) in enumerate(sorted(within.items())):
        least = max(LEAST_USES, LEAST_SHARE * sizes[family])
        for word, count in counts.items():
            if count >= least:
                users[word].append(number)
    rarity = {word: log(len(questions) / everywhere[word]) for word in users}
    return Familiarity(
        unknown=round(log(len(questions) / 3), 2),
        ballast=20.0,
        families=len(within),
        # A common word tells no family from another, so it only counts towards the whole.
        words={
            word: (round(rarity[word], 2), tuple(users[word]) if rarity[word] >= COMMON else ())
            for word in sorted(users)
        },
    )


def out_of_fold(rows: list[Row], weights: np.ndarray, folds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log weights of the four cases and coverage of every row, from a fit that has not seen its fold.

    Where DEEPTHRIFT_ROUTER_CACHE names a folder, what was fitted is kept there: training and evaluation share much.
    """
    settings = (WORDS, LEAST_QUESTIONS, LEAST_USES, LEAST_SHARE, COMMON, PENALTY, WORD_SCALE, CLIP, len(rows))
    source = Path(inspect.getfile(text_features)).read_bytes()
    key = hashlib.sha256(repr(settings).encode() + source + folds.tobytes() + weights.tobytes()).hexdigest()[:16]
    folder = os.environ.get("DEEPTHRIFT_ROUTER_CACHE")
    kept = Path(folder) / f"{key}.npz" if folder else None
    if kept is not None and kept.exists():
        held = np.load(kept)
        return held["logits"], held["coverage"]
    logits, coverage = _out_of_fold(rows, weights, folds)
    if kept is not None:
        np.savez(kept, logits=logits, coverage=coverage)
    return logits, coverage


def _out_of_fold(rows: list[Row], weights: np.ndarray, folds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logits, coverage = np.zeros((len(rows), 4)), np.zeros(len(rows))
    for fold in sorted(set(folds)):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        fitted = fit([rows[i] for i in train], weights[train])
        held_out = [rows[i] for i in test]
        logits[test] = fitted.logits(held_out, known_pair=True)
        coverage[test] = [fitted.familiarity.coverage(row.features.words) for row in held_out]
        print(f"  fold {fold}: {len(test)} rows", file=sys.stderr)
    return logits, coverage


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def base_rates(rows: list[Row]) -> np.ndarray:
    """The mean over model pairs, each counted alike."""
    pairs = sorted({row.pair for row in rows})
    shares = [np.bincount([r.cell for r in rows if r.pair == pair], minlength=4) for pair in pairs]
    return np.mean([share / share.sum() for share in shares], axis=0)


def pair_rates(rows: list[Row]) -> np.ndarray:
    """For each row the four rates of its own pair of models: what is known of it without reading the question."""
    pairs = [row.pair for row in rows]
    rates = {}
    for pair in set(pairs):
        counts = np.bincount([row.cell for row in rows if row.pair == pair], minlength=4) + 0.5
        rates[pair] = counts / counts.sum()
    return np.array([rates[pair] for pair in pairs])


def mix(origin: np.ndarray, logits: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    """Probabilities between `origin` (share 0) and the model's own (share 1), on the scale of log weights."""
    start = np.log(origin) - np.log(origin).mean(1, keepdims=True)
    return softmax((1 - share) * start + share * (logits - logits.mean(1, keepdims=True)))


def fit_shrink(
    cells: np.ndarray, origin: np.ndarray, parts: list[tuple[np.ndarray, np.ndarray]]
) -> list[tuple[float, float]]:
    """For each coverage, the share of the score that predicts best, seen and unseen families counted alike.

    What the score is mixed with are the rates of the row's own pair, so that the share is earned by reading the
    question and not by knowing the models.
    """
    coverage = np.concatenate([part[1] for part in parts])
    logits = np.concatenate([part[0] for part in parts])
    truth = np.concatenate([cells] * len(parts))
    start = np.concatenate([origin] * len(parts))
    edges = np.unique([0, *np.quantile(coverage, np.linspace(0, 1, 13))[1:-1], 0.3, 0.4, 0.6, 1])
    shares = np.linspace(0, 1, 21)
    points, highest = [], 0.0
    for low, high in pairwise(edges):
        inside = (coverage >= low) & (coverage <= high)
        if inside.sum() < 200:
            continue
        place = np.flatnonzero(inside)
        losses = [
            -np.log(mix(start[place], logits[place], share)[np.arange(len(place)), truth[place]] + 1e-9).mean()
            for share in shares
        ]
        highest = max(highest, float(shares[int(np.argmin(losses))]))
        # A share below one half helps little on families that were seen and harms on those that were not.
        points.append((round(float(coverage[inside].mean()), 3), round(highest, 2) if highest >= LEAST_WEIGHT else 0.0))
    return points


def weight_of(coverage: np.ndarray, points: list[tuple[float, float]]) -> np.ndarray:
    return np.interp(coverage, [0.0, *(p[0] for p in points)], [0.0, *(p[1] for p in points)])


def calibration_error(probability: np.ndarray, truth: np.ndarray, bins: int = 10) -> float:
    place = np.minimum((probability * bins).astype(int), bins - 1)
    return float(
        sum(abs(probability[place == b].mean() - truth[place == b].mean()) * (place == b).mean() for b in set(place))
    )


def figures(rows: list[Row], cells: np.ndarray) -> dict[str, float]:
    fails = np.array([1 - row.standard for row in rows])
    score = cells[:, 2] + cells[:, 3]
    length = np.array([row.features.measures["characters"] for row in rows])
    keys = np.array([f"{row.dataset} {row.pair}" for row in rows])
    ours, lengths = [], []
    for key in sorted(set(keys)):
        inside = keys == key
        if inside.sum() >= 40 and 0 < fails[inside].sum() < inside.sum():
            ours.append(roc_auc_score(fails[inside], score[inside]))
            lengths.append(roc_auc_score(fails[inside], length[inside]))
    return {
        "auc_pooled": round(float(roc_auc_score(fails, score)), 3),
        "auc_within_dataset_macro": round(float(np.mean(ours)), 3),
        "auc_prompt_length_within_dataset_macro": round(float(np.mean(lengths)), 3),
        "calibration_error_standard": round(calibration_error(1 - score, 1 - fails), 3),
        "calibration_error_thinking": round(
            calibration_error(cells[:, 0] + cells[:, 2], np.array([row.thinking for row in rows])), 3
        ),
    }


def recorded_lengths(rows: list[Row]) -> dict[str, dict[str, object]]:
    """Completion tokens: recorded by the provider for thinking, counted on recorded text for standard."""
    found = {
        "thinking": sorted(row.thinking_tokens for row in rows if row.thinking_tokens),
        "standard": sorted(count_text(row.standard_answer) for row in rows if row.standard_answer),
    }
    sources = {
        "thinking": "DeepSeek-R1 on medical questions, as billed (medagents)",
        "standard": "recorded standard answers of all sources, counted on their text",
    }
    places = (np.arange(40) + 0.5) / 40
    return {
        mode: {"source": sources[mode], "rows": len(told), "quantiles": [int(x) for x in np.quantile(told, places)]}
        for mode, told in found.items()
        if told
    }


def origin_of(rows: list[Row], weights: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """What is believed of each row where the prior does not know it: its pair's rates, moved by the length."""
    return softmax(np.log(pair_rates(rows)) + transferred(rows, weights, folds))


def start_of(origin: np.ndarray, seen: tuple[np.ndarray, np.ndarray], points: list[tuple[float, float]]) -> Start:
    """Where the models of the answers start from: out of fold by dataset, and by question."""
    familiar = mix(origin, seen[0], weight_of(seen[1], points)[:, None])
    return Start(np.log(origin), np.log(familiar))


def main() -> None:
    options = argparse.ArgumentParser(description="Fits the router's prior and the likelihoods of its signals.")
    options.add_argument("--rows", type=Path, help="fit a prior alone, on the recorded outcomes of this file")
    options.add_argument("--prior", type=Path, help="where to write it")
    asked = options.parse_args()
    if (asked.rows is None) != (asked.prior is None):
        options.error("--rows and --prior go together")
    if asked.rows is None:
        _train()
        return
    rows = own_rows(asked.rows)
    worth = "Fitted for the families of its own rows, and used in full: it is worth nothing on others."
    prior = prior_of(rows, balance(rows), [(0.0, 1.0)], worth)
    asked.prior.write_text(json.dumps(prior, ensure_ascii=False) + "\n", encoding="utf-8")


def _train() -> None:
    rows = read_rows()
    weights = balance(rows)
    truth = np.array([row.cell for row in rows])
    print(f"{len(rows)} rows; folds by question", file=sys.stderr)
    seen = out_of_fold(rows, weights, query_folds(rows))
    print("folds by dataset", file=sys.stderr)
    unseen = out_of_fold(rows, weights, family_folds(rows))
    origin = origin_of(rows, weights, family_folds(rows))
    points = fit_shrink(truth, origin, [seen, unseen])
    shares = {"in_family": weight_of(seen[1], points), "never_seen": weight_of(unseen[1], points)}
    never_seen = mix(origin, unseen[0], shares["never_seen"][:, None])
    novelty = np.r_[np.zeros(len(rows)), np.ones(len(rows))]
    card = {
        "in_family": figures(rows, mix(origin, seen[0], shares["in_family"][:, None])),
        "never_seen": figures(rows, never_seen),
        "novelty_auc": round(float(roc_auc_score(novelty, -np.r_[seen[1], unseen[1]])), 3),
        "mean_weight_in_family": round(float(shares["in_family"].mean()), 3),
        "mean_weight_never_seen": round(float(shares["never_seen"].mean()), 3),
        "lengths": length_figures(rows, query_folds(rows)),
    }
    print(json.dumps(card, indent=1))
    auc = card["never_seen"]
    worth = (
        f"On task families it has not seen it tells failures of standard mode with an AUC of "
        f"{auc['auc_within_dataset_macro']:.2f} (prompt length alone: "
        f"{auc['auc_prompt_length_within_dataset_macro']:.2f}; chance: 0.50), "
        "so there the plan relies on verification."
    )
    text = json.dumps(prior_of(rows, weights, points, worth), ensure_ascii=False, separators=(",", ":"))
    (OUT / "prior.json").write_text(text.replace('],"', '],\n"') + "\n", encoding="utf-8")
    signals = Signals(rows, weights, VERSION).fit(np.ones(len(rows), bool), start_of(origin, seen, points))
    (OUT / "signals.json").write_text(json.dumps(signals.model_dump(), indent=1) + "\n", encoding="utf-8")
    from router_card import write_card

    write_card(OUT / "MODEL_CARD.md", rows, card, signals.model_dump())


def prior_of(rows: list[Row], weights: np.ndarray, points: list[tuple[float, float]], worth: str) -> dict[str, object]:
    """A `Prior` fitted on all `rows`, as JSON has it; `points` say what its score weighs at which coverage."""
    fitted, transfer, base = fit(rows, weights), fit_transfer(rows, weights), base_rates(rows)
    coefficients = fitted.model.coef_ - fitted.model.coef_.mean(0)
    intercept = fitted.model.intercept_ - fitted.model.intercept_.mean()
    first_word = len(fitted.measures) + len(fitted.pairs)
    # A user's own pair of modes is none of the training pairs: their mean stands in for it.
    intercept = intercept + coefficients[:, len(fitted.measures) : first_word].mean(1)
    looked = softmax(fitted.logits(rows, known_pair=False))
    heads = {mode: length_rows(rows, mode) for mode in ("standard", "thinking")}
    return {
        "version": VERSION,
        "base": [round(float(x), 4) for x in base],
        "plain": {
            PLAIN: {
                "mean": round(transfer.mean, 4),
                "scale": round(transfer.scale, 4),
                "weights": [round(float(x), 4) for x in transfer.weights],
                "least": round(transfer.least, 4),
            }
        },
        "intercept": [round(float(x), 4) for x in intercept],
        "measures": {
            name: {
                "mean": round(float(fitted.mean[i]), 4),
                "scale": round(float(fitted.scale[i]), 4),
                "weights": [round(float(x), 4) for x in coefficients[:, i]],
            }
            for i, name in enumerate(fitted.measures)
        },
        "familiarity": fitted.familiarity.model_dump(),
        "shrink": points,
        "looks": [round(float(x), 4) for x in np.quantile(looked[:, 2] + looked[:, 3], (np.arange(100) + 0.5) / 100)],
        "lengths": recorded_lengths(rows),
        "length_heads": {mode: fit_length(*told) for mode, told in heads.items() if told[0]},
        "usefulness": worth,
        "words": {
            word: [round(float(x) * WORD_SCALE, 3) for x in coefficients[:, first_word + i]]
            for i, word in enumerate(fitted.vocabulary)
        },
    }


if __name__ == "__main__":
    main()
