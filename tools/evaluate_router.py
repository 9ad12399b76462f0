"""Replays recorded outcomes through the router's own scoring and verification, and writes the figures into the docs.

    DEEPTHRIFT_ROUTER_DATA=folder python tools/evaluate_router.py [--write]

Nothing is judged on rows that helped to fit it: "in family" leaves questions out, "dataset" and "category" leave whole
task families out of the prior and of the signals' tables alike. Needs scikit-learn (`pip install --group train`).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from router_rows import Row, balance, category_folds, family_folds, query_folds, read_rows
from router_signals import counted
from train_router import calibration_error, mix, out_of_fold, pair_rates, softmax, weight_of

from deepthrift_router._answers import same_answer
from deepthrift_router._belief import Belief
from deepthrift_router._likelihoods import Likelihoods
from deepthrift_router._prior import Prior
from deepthrift_router._verification import replay

DOCS = Path(__file__).parents[1] / "docs" / "router.md"
BEGIN, END = "<!-- figures: written by tools/evaluate_router.py -->", "<!-- end of figures -->"
SHARES = (0.1, 0.2, 0.3, 0.5)
RESAMPLES = 1000
PAIRS = {"llama-4-maverick>deepseek-r1": "Maverick → R1", "llama-3.3-70b-instruct>deepseek-r1": "Llama 3.3 → R1"}


@dataclass
class Replayed:
    """The easy rows of one pair under one split, in fixed order."""

    gain: dict[int, np.ndarray]
    """By number of samples: what thinking is believed to add."""
    right: dict[int, np.ndarray]
    """By number of samples: whether the chosen standard answer was right."""
    p_standard: np.ndarray
    p_thinking: np.ndarray
    standard: np.ndarray
    thinking: np.ndarray
    prior_gain: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the figures into docs/router.md")
    arguments = parser.parse_args()
    rows = read_rows()
    weights = balance(rows)
    text = []
    scores = []
    for name, folds in (
        ("in family", query_folds(rows)),
        ("dataset never seen", family_folds(rows)),
        ("category never seen", category_folds(rows)),
    ):
        print(name, file=sys.stderr)
        logits, coverage = out_of_fold(rows, weights, folds)
        share = weight_of(coverage, [tuple(point) for point in Prior.builtin().shrink])
        prior = mix(pair_rates(rows), logits, share[:, None])
        scores.append(prior_line(name, rows, prior, softmax(logits), share))
        for pair, title in PAIRS.items():
            text += cascade_lines(f"{title}, {name}", replay_rows(rows, prior, share, folds, pair), rows, pair)
    lines = [
        "### The score alone, all rows",
        "",
        *PRIOR_HEAD,
        *scores,
        "",
        "### The cascade, reasoning-gym easy rows",
        "",
    ]
    lines += [*CASCADE_HEAD, *text]
    print("\n".join(lines))
    if arguments.write:
        page = DOCS.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        DOCS.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}", encoding="utf-8")


PRIOR_HEAD = [
    "| Split | AUC, standard fails, mean within datasets | prompt length | calibration error | mean weight |",
    "|---|---|---|---|---|",
]
CASCADE_HEAD = [
    "| Pair and split | Rule | calls per question beside thinking | PGR at 10 % | 20 % | 30 % | 50 % thinking calls |",
    "|---|---|---|---|---|---|---|",
]


def prior_line(name: str, rows: list[Row], prior: np.ndarray, own: np.ndarray, share: np.ndarray) -> str:
    fails = np.array([1 - row.standard for row in rows])
    keys = np.array([f"{row.dataset} {row.pair}" for row in rows])
    length = np.array([row.features.measures["characters"] for row in rows])
    del own
    ours, lengths = [], []
    for key in sorted(set(keys)):
        inside = keys == key
        if inside.sum() >= 40 and 0 < fails[inside].sum() < inside.sum():
            ours.append(auc(prior[inside, 2] + prior[inside, 3], fails[inside]))
            lengths.append(auc(length[inside], fails[inside]))
    error = calibration_error(prior[:, 0] + prior[:, 1], 1 - fails)
    return f"| {name} | {np.mean(ours):.3f} | {np.mean(lengths):.3f} | {error:.3f} | {share.mean():.2f} |"


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    order = np.argsort(score, kind="stable")
    ranks = np.empty(len(score))
    ranks[order] = np.arange(1, len(score) + 1)
    for value in np.unique(score):
        tied = score == value
        if tied.sum() > 1:
            ranks[tied] = ranks[tied].mean()
    count = positive.sum()
    return float((ranks[positive == 1].sum() - count * (count + 1) / 2) / (count * (len(score) - count)))


def replay_rows(rows: list[Row], prior: np.ndarray, share: np.ndarray, folds: np.ndarray, pair: str) -> Replayed:
    chosen = [i for i, row in enumerate(rows) if row.easy and row.pair == pair]
    shipped = Likelihoods.builtin()
    gain = {samples: np.zeros(len(chosen)) for samples in (1, 2, 3)}
    right = {samples: np.zeros(len(chosen)) for samples in (1, 2, 3)}
    p_standard, p_thinking = np.zeros(len(chosen)), np.zeros(len(chosen))
    for place, i in enumerate(chosen):
        row, tables = rows[i], counted(rows, folds, int(folds[i]))
        tables = tempered(tables, shipped)
        for samples in (1, 2, 3):
            seen = replay(
                Belief.of(prior[i]), float(share[i]), tables, row.standard_answer or "", row.samples[:samples]
            )
            gain[samples][place] = seen.belief.gain
            right[samples][place] = row.samples_right[seen.chosen]
        p_standard[place], p_thinking[place] = seen.belief.p_standard, seen.belief.p_thinking
    return Replayed(
        gain,
        right,
        p_standard,
        p_thinking,
        np.array([float(rows[i].standard) for i in chosen]),
        np.array([float(rows[i].thinking) for i in chosen]),
        prior[chosen, 2] - prior[chosen, 1],
    )


_TEMPERED: dict[int, Likelihoods] = {}


def tempered(tables: Likelihoods, shipped: Likelihoods) -> Likelihoods:
    """Tables counted on the training folds, taken for as much as the shipped ones are."""
    if id(tables) not in _TEMPERED:
        signals = {
            name: data.model_copy(update={"temper": shipped.signals[name].temper})
            for name, data in tables.signals.items()
        }
        _TEMPERED[id(tables)] = tables.model_copy(update={"signals": signals})
    return _TEMPERED[id(tables)]


def pgr(order: np.ndarray, kept: np.ndarray, data: Replayed, rows: np.ndarray) -> list[float]:
    """Share of always-thinking's gain that is kept when the first `share` of `order` think; `rows` may repeat."""
    standard, thinking = data.standard[rows].mean(), data.thinking[rows].mean()
    ranked = rows[np.argsort(order[rows], kind="stable")]
    out = []
    for share in SHARES:
        cut = round(share * len(ranked))
        got = data.thinking[ranked[:cut]].sum() + kept[ranked[cut:]].sum()
        out.append(float((got / len(ranked) - standard) / (thinking - standard)))
    return out


def cascade_lines(title: str, data: Replayed, rows: list[Row], pair: str) -> list[str]:
    easy = [row for row in rows if row.easy and row.pair == pair]
    random = np.random.default_rng(0)
    jitter = random.random(len(easy)) * 1e-6
    length = np.array([float(len(row.query)) for row in easy])
    agree = np.array([float(_agree(row)) for row in easy])
    rules = {
        "the router, three samples": (-data.gain[3], data.right[3], "3"),
        "the router, two samples": (-data.gain[2] + jitter, data.right[2], "2"),
        "the router, one sample": (-data.gain[1] + jitter, data.right[1], "1"),
        "its score alone": (-data.prior_gain + jitter, data.standard, "1 − share"),
        "two samples, escalate when they differ": (agree + jitter, data.standard, "2"),
        "prompt length": (-length, data.standard, "1 − share"),
        "random": (random.random(len(easy)), data.standard, "1 − share"),
    }
    everything = np.arange(len(easy))
    draws = [random.integers(0, len(easy), len(easy)) for _ in range(RESAMPLES)]
    lines = []
    for name, (order, kept, calls) in rules.items():
        exact = pgr(order, kept, data, everything)
        spread = np.array([pgr(order, kept, data, draw) for draw in draws])
        low, high = np.quantile(spread, 0.025, axis=0), np.quantile(spread, 0.975, axis=0)
        cells = [f"{e:.2f} ({a:.2f}–{b:.2f})" for e, a, b in zip(exact, low, high, strict=True)]
        lines.append(f"| {title} | {name} | {calls} | " + " | ".join(cells) + " |")
    standard_error = calibration_error(data.p_standard, data.right[3])
    thinking_error = calibration_error(data.p_thinking, data.thinking)
    print(f"{title}: calibration error standard {standard_error:.3f}, thinking {thinking_error:.3f}", file=sys.stderr)
    return lines


def _agree(row: Row) -> bool:
    first, second = row.samples[0], row.samples[1]
    return first is not None and second is not None and same_answer(first, second)


if __name__ == "__main__":
    main()
