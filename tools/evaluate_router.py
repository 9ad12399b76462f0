"""Replays recorded outcomes through the router's own scoring, verification and decisions, and writes the figures.

    DEEPTHRIFT_ROUTER_DATA=folder python tools/evaluate_router.py [--write]

Nothing is judged on rows that helped to fit it: "in family" leaves questions out, "dataset" and "category" leave whole
task families out of the prior and of the signals alike. Needs scikit-learn (`pip install --group train`). With
`--write` the tables go into docs/router.md and docs/how-we-measure.md.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from router_rows import Row, balance, category_folds, family_folds, folder, query_folds, read_rows
from router_signals import CHECKERS, Signals, check_outcomes
from router_transfer import fit_length, length_rows, predict_length
from train_router import calibration_error, mix, origin_of, out_of_fold, start_of, weight_of

from deepthrift_router._belief.belief import Belief
from deepthrift_router._belief.likelihoods import Likelihoods
from deepthrift_router._belief.prior import Prior
from deepthrift_router._belief.verification import CROSS_CHECK
from deepthrift_router._decide.decide import Utilities
from deepthrift_router.evaluation import (
    Evaluation,
    Judged,
    LabelledCall,
    Outcome,
    area_under_roc,
    control_quality_loss,
    decide,
    evaluate,
    judge,
    read_outcomes,
)
from deepthrift_router.evaluation._evaluate import ORACLE
from deepthrift_router.evaluation._metrics import bootstrap
from deepthrift_router.evaluation._spend import CHECK_TOKENS

DOCS = Path(__file__).parents[1] / "docs"
RESAMPLES = 200
TOKENS = 0.47
"""Share of always-thinking's tokens at which rules on medicine are compared."""
PROMISES = ((300, 0.02), (1000, 0.01), (1000, 0.02), (1000, 0.05))
REPEATS = 200
PAIRS = {"llama-4-maverick>deepseek-r1": "Maverick → R1", "llama-3.3-70b-instruct>deepseek-r1": "Llama 3.3 → R1"}
SPLITS = {"in family": query_folds, "dataset never seen": family_folds, "category never seen": category_folds}


@dataclass
class Split:
    """One way of leaving rows out: what is believed of each row beforehand, and the likelihoods of its fold."""

    name: str
    prior: np.ndarray
    weight: np.ndarray
    folds: np.ndarray
    tables: dict[int, Likelihoods]
    place: dict[str, int]

    def believe(self, outcome: Outcome) -> tuple[Belief, float]:
        at = self.place[outcome.id]
        return Belief.of(self.prior[at]), float(self.weight[at])

    def likelihoods(self, outcome: Outcome) -> Likelihoods:
        return self.tables[int(self.folds[self.place[outcome.id]])]


def splits(rows: list[Row]) -> list[Split]:
    """The three of them, each fitted anew in every fold."""
    weights = balance(rows)
    points = [(float(a), float(b)) for a, b in Prior.builtin().shrink]
    signals = Signals(rows, weights, "held-out")
    seen = out_of_fold(rows, weights, query_folds(rows))
    place = {row.id: number for number, row in enumerate(rows)}
    found = []
    for name, make in SPLITS.items():
        print(name, file=sys.stderr)
        folds = make(rows)
        logits, coverage = out_of_fold(rows, weights, folds)
        origin = origin_of(rows, weights, folds)
        share = weight_of(coverage, points)
        start = start_of(origin, seen, points)
        tables = {int(fold): signals.fit(folds != fold, start) for fold in sorted(set(folds))}
        found.append(Split(name, mix(origin, logits, share[:, None]), share, folds, tables, place))
    return found


def by_medical_dataset(rows: list[Row], split: Split) -> Split:
    """Prior and other signals without all of medicine; the cross-checks without the row's own medical dataset.

    All of them come from medicine, so with all of it left out there would be no cross-check to judge.
    """
    signals = Signals(rows, balance(rows), "held-out")
    names = sorted({row.dataset for row in rows if row.source == "medagents"})
    folds = np.array([names.index(row.dataset) if row.dataset in names else -1 for row in rows])
    rest = split.tables[int(split.folds[folds >= 0][0])]
    tables = {}
    for fold in range(len(names)):
        own = rest.signals[CROSS_CHECK].model_copy(update={"tables": signals.check_tables(folds != fold)})
        tables[fold] = rest.model_copy(update={"signals": {**rest.signals, CROSS_CHECK: own}})
    return Split("medical dataset never seen", split.prior, split.weight, folds, tables, split.place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the figures into the docs")
    arguments = parser.parse_args()
    rows = read_rows()
    outcomes = read_outcomes(*sorted(folder().glob("*.jsonl.gz")))
    easy = {pair: [each for each in outcomes if _easy(each) and each.pair == pair] for pair in PAIRS}
    medical = [each for each in outcomes if each.source == "medagents"]
    score, cascade, calibration, decisions, promise, checked = (list[str]() for _ in range(6))
    for split in splits(rows):
        score.append(score_line(split, rows))
        for pair, title in PAIRS.items():
            judged = judge(easy[pair], split.believe, split.likelihoods)
            figures = evaluate(judged, draws=RESAMPLES)
            cascade += cascade_lines(f"{title}, {split.name}", figures)
            calibration += calibration_lines(f"{title}, {split.name}", figures)
            decisions += decision_lines(f"{title}, {split.name}", easy[pair], split)
            every = title.startswith("Maverick") and split.name == "in family"
            promise += promise_lines(f"{title}, {split.name}", judged, PROMISES if every else PROMISES[2:3])
        if split.name == "category never seen":
            continue
        if split.name == "dataset never seen":
            split = by_medical_dataset(rows, split)
        judged = judge(medical, split.believe, split.likelihoods, checks=CHECKERS)
        checked += checked_lines(split, evaluate(judged, draws=RESAMPLES, checks=2), judged, rows)
        promise += promise_lines(f"V3 → R1 on medicine, two cross-checks, {split.name}", judged)
    router = ["### The score alone, all rows", "", *SCORE_HEAD, *score, ""]
    router += ["### The cascade, reasoning-gym easy rows", "", *CASCADE_HEAD, *cascade]
    measured = ["### The promise", "", *PROMISE_HEAD, *promise, "", "### Cross-checks on medicine", "", *CHECKED_HEAD]
    measured += [*checked, "", "### As it decides by itself", "", *DECISION_HEAD, *decisions, ""]
    measured += ["### Calibration", "", *CALIBRATION_HEAD, *calibration]
    print("\n".join([*router, "", *measured]))
    if arguments.write:
        write(DOCS / "router.md", router)
        write(DOCS / "how-we-measure.md", measured)


def write(page: Path, lines: Sequence[str]) -> None:
    """Puts the figures between the two marks of a page."""
    marks = re.compile(
        r"(?<=<!-- figures: written by tools/evaluate_router.py -->\n).*(?=<!-- end of figures -->)", re.S
    )
    text = page.read_text(encoding="utf-8")
    if not marks.search(text):
        sys.exit(f"{page.name} has no place for figures")
    page.write_text(marks.sub(lambda _: "\n" + "\n".join(lines) + "\n\n", text), encoding="utf-8")


SCORE_HEAD = [
    "| Split | AUC, standard fails, mean within datasets | prompt length | calibration error | mean weight |",
    "|---|---|---|---|---|",
]
CASCADE_HEAD = [
    "| Pair and split | Rule | calls per question beside thinking | PGR at 10 % | 20 % | 30 % | 50 % thinking calls "
    "| APGR |",
    "|---|---|---|---|---|---|---|---|",
]
PROMISE_HEAD = [
    "| Rows and split | labels | at most | kept in | thinking calls | accuracy lost | refused |",
    "|---|---|---|---|---|---|---|",
]
CHECKED_HEAD = [
    "| Split | Rule | share of thinking calls | share of always-thinking's tokens | PGR |",
    "|---|---|---|---|---|",
]
DECISION_HEAD = [
    "| Pair and split | a right answer is worth | standard calls | thinking calls | accuracy | PGR |",
    "|---|---|---|---|---|---|",
]
CALIBRATION_HEAD = [
    "| Pair and split | rows | calibration error of p(standard right) | of p(thinking right) |",
    "|---|---|---|---|",
]


def score_line(split: Split, rows: list[Row]) -> str:
    fails = np.array([1 - row.standard for row in rows])
    keys = np.array([f"{row.dataset} {row.pair}" for row in rows])
    length = np.array([row.features.measures["characters"] for row in rows])
    doubt = split.prior[:, 2] + split.prior[:, 3]
    ours, lengths = [], []
    for key in sorted(set(keys)):
        inside = keys == key
        if inside.sum() >= 40 and 0 < fails[inside].sum() < inside.sum():
            failed = [bool(each) for each in fails[inside]]
            ours.append(area_under_roc(list(doubt[inside]), failed) or 0.0)
            lengths.append(area_under_roc(list(length[inside]), failed) or 0.0)
    error = calibration_error(1 - doubt, 1 - fails)
    weight = split.weight.mean()
    return f"| {split.name} | {np.mean(ours):.3f} | {np.mean(lengths):.3f} | {error:.3f} | {weight:.2f} |"


def cascade_lines(title: str, figures: Evaluation) -> list[str]:
    lines = []
    for rule in figures.rules:
        cells = [_interval(point.pgr) for point in rule.points] + [_interval(rule.apgr)]
        lines.append(f"| {title} | {rule.name} | {rule.calls} | " + " | ".join(cells) + " |")
    print(title, [str(point.pgr) for point in figures.rules[0].points], file=sys.stderr)
    return lines


def calibration_lines(title: str, figures: Evaluation) -> list[str]:
    cells = f"{figures.calibration_error:.3f} | {figures.calibration_error_thinking:.3f}"
    return [f"| {title} | {figures.rows:,} | {cells} |"]


def decision_lines(title: str, outcomes: Sequence[Outcome], split: Split) -> list[str]:
    """Samples bought one at a time, as they pay, where a standard call costs a tenth of a thinking call."""
    standard = np.mean([each.standard_right for each in outcomes])
    thinking = np.mean([each.thinking_right for each in outcomes])
    lines = []
    for value in (3, 5, 10, 30):
        at_stake = partial(_at_stake, float(value))
        done = [decide(each, at_stake, *split.believe(each), split.likelihoods(each)) for each in outcomes]
        right = np.mean([each.right for each in done])
        cells = f"{np.mean([each.samples for each in done]):.2f} | {np.mean([each.escalated for each in done]):.2f}"
        pgr = (right - standard) / (thinking - standard)
        lines.append(f"| {title} | {value} thinking calls | {cells} | {right:.3f} | {pgr:.2f} |")
    return lines


def promise_lines(
    title: str, judged: Sequence[Judged], promises: Sequence[tuple[int, float]] = ((1000, 0.02),)
) -> list[str]:
    """The promise made on so many labels, tried on the rest, again and again."""
    calls = [LabelledCall(each.after(3).gain, each.kept(3), each.outcome.thinking_right) for each in judged]
    lines = []
    for labels, limit in promises:
        chance = random.Random(f"{labels} {limit}")  # noqa: S311
        kept, shares, losses, refused = 0, list[float](), list[float](), 0
        for _ in range(REPEATS):
            drawn = chance.sample(calls, len(calls))
            threshold = control_quality_loss(drawn[:labels], limit).threshold
            rest = drawn[labels:]
            refused += threshold is None
            accepted = [call for call in rest if threshold is not None and call.gain < threshold]
            loss = sum(call.loss for call in accepted) / len(rest)
            kept += loss <= limit
            shares.append(1 - len(accepted) / len(rest))
            losses.append(loss)
        cells = f"{kept / REPEATS:.1%} | {np.mean(shares):.2f} | {np.mean(losses):+.2%} | {refused / REPEATS:.0%}"
        lines.append(f"| {title} | {labels:,} | {limit:.0%} | {cells} |")
    return lines


def checked_lines(split: Split, figures: Evaluation, judged: Sequence[Judged], rows: list[Row]) -> list[str]:
    lines = []
    rule = next(each for each in figures.rules if each.name == "the router, one sample")
    for point in rule.curve:
        if point.tokens is not None and 0.15 <= point.share <= 0.45:
            cells = f"{point.share:.2f} | {point.tokens:.2f} | {_interval(point.pgr)}"
            lines.append(f"| {split.name} | the router, by gain | {cells} |")
    outcomes = [each.outcome for each in judged]
    gain = np.array([each.after(1).gain for each in judged])
    differ = np.array([float(_differ(each)) for each in outcomes])
    perfect = np.array([float(each.thinking_right - each.standard_right) for each in outcomes])
    rules = {
        "the router, by gain": gain,
        "the router, by gain per expected thinking token": gain / expected_tokens(split, outcomes, rows),
        "plain: think unless all three agree": differ,
        "by agreement and a mark of hard questions that outcomes gave": marked(split, outcomes, rows),
        "by agreement, dataset and length of the question, fitted on these very rows": hindsight(outcomes, rows, split),
        ORACLE: perfect,
    }
    lines += [f"| {split.name} | {name} | {at_tokens(outcomes, scores)} |" for name, scores in rules.items()]
    return lines


def expected_tokens(split: Split, outcomes: Sequence[Outcome], rows: list[Row]) -> np.ndarray:
    """How long thinking is expected to be, by a few measures of the question, out of fold."""
    places = [split.place[each.id] for each in outcomes]
    folds, found = split.folds[places], np.zeros(len(places))
    for fold in sorted(set(folds)):
        train = [row for row, other in zip(rows, split.folds, strict=True) if other != fold]
        known, tokens = length_rows(train, "thinking")
        inside = np.flatnonzero(folds == fold)
        found[inside] = predict_length(fit_length(known, tokens), [rows[places[i]] for i in inside])
    return found


def marked(split: Split, outcomes: Sequence[Outcome], rows: list[Row]) -> np.ndarray:
    """Gain per thinking token by pattern and by the mark, out of fold.

    No router can have the mark: at most half of eight models, both cross-checks among them, answer such a question.
    """
    mine = [rows[split.place[each.id]] for each in outcomes]
    folds = split.folds[[split.place[each.id] for each in outcomes]]
    keys = [(*check_outcomes(row)[2:], row.category.endswith("hard")) for row in mine]
    found = np.zeros(len(mine))
    for fold in set(folds):
        worth = worth_of([(row, key) for row, key, other in zip(mine, keys, folds, strict=True) if other != fold])
        found[folds == fold] = [worth[key] for key, other in zip(keys, folds, strict=True) if other == fold]
    return found


def hindsight(outcomes: Sequence[Outcome], rows: list[Row], split: Split) -> np.ndarray:
    """Gain per thinking token by pattern, dataset and length of the question, in sample.

    More than any router can know; it shows what is the most that these three could give.
    """
    mine = [rows[split.place[each.id]] for each in outcomes]
    keys = [(*check_outcomes(row)[2:], row.dataset, int(row.features.measures["characters"])) for row in mine]
    worth = worth_of(list(zip(mine, keys, strict=True)))
    return np.array([worth[key] for key in keys])


def worth_of(rows: Sequence[tuple[Row, tuple[object, ...]]]) -> Counter[tuple[object, ...]]:
    """What rows of each key gain for a thinking token; nothing where none is known."""
    gains, tokens = Counter[tuple[object, ...]](), Counter[tuple[object, ...]]()
    for row, key in rows:
        gains[key] += row.thinking - row.standard
        tokens[key] += row.thinking_tokens or 0
    return Counter({key: gain / max(1, tokens[key]) for key, gain in gains.items()})  # type: ignore[misc]


def at_tokens(outcomes: Sequence[Outcome], scores: np.ndarray) -> str:
    """Share of thinking calls and PGR of a ranking where it has spent the tokens of the aim, with its interval."""
    _, group = np.unique(-scores, return_inverse=True)
    thought = np.array([each.thinking_tokens or 0 for each in outcomes], float)
    first = np.array([(each.standard_tokens or 0) + CHECK_TOKENS * len(CHECKERS) for each in outcomes], float)
    gain = np.array([float(each.thinking_right - each.standard_right) for each in outcomes])

    def figure(count: Sequence[int]) -> list[float]:
        times = np.array(count)
        spent = np.cumsum(np.bincount(group, thought * times)) + (first * times).sum()
        tokens = [(first * times).sum(), *spent] / (thought * times).sum()
        kept = [0.0, *np.cumsum(np.bincount(group, gain * times)) / (gain * times).sum()]
        shares = [0.0, *np.cumsum(np.bincount(group, times)) / times.sum()]
        return [float(np.interp(TOKENS, tokens, shares)), float(np.interp(TOKENS, tokens, kept))]

    share, pgr = bootstrap(figure, len(outcomes), RESAMPLES)
    return f"{share.value:.2f} | {TOKENS:.2f} | {_interval(pgr)}"


def _at_stake(value: float, asked: int) -> Utilities:
    return Utilities(value, 0.1, 1.0, asked < 3, True)


def _differ(outcome: Outcome) -> bool:
    first, others = outcome.samples[0], outcome.other_answers(CHECKERS)
    return first is None or any(other is None or other.form != first.form for other in others)


def _easy(outcome: Outcome) -> bool:
    return outcome.source == "reasoning_gym_easy"


def _interval(found: object) -> str:
    if found is None:
        return "–"
    return f"{found.value:.2f} ({found.low:.2f}–{found.high:.2f})"  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
