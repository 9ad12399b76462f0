"""Ladders of recorded models: three tiers against two, random mixing, plain agreement, and P(right) − λ · cost.

    DEEPTHRIFT_ROUTER_DATA=FOLDER python benchmarks/ladder.py [--held-out dataset] [--difficulty hard]

Every figure is out of fold: what is believed of a question, what agreement says, and which two-tier router is the best
one are fitted on other folds. Costs per call are list prices at equal length, an assumption: no tokens are recorded.
Needs scikit-learn (`pip install --group train`).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from deepthrift_router._belief.belief import Belief
from deepthrift_router._belief.ladder import SAMPLE, Comparisons, LadderData
from deepthrift_router._belief.verification import Prospect
from deepthrift_router._decide.climb import Climb, TierCall
from deepthrift_router._decide.decide import Offer, Utilities, best_step
from deepthrift_router.evaluation import LadderRow, read_ladder
from tools.router_ladder import COSTS, fit

LOW, MIDDLE, HIGH = "llama-4-maverick", "deepseek-r1", "o3-mini"
VALUES = tuple(float(each) for each in np.geomspace(15, 3000, 14))
LEVELS = np.linspace(0.25, 0.75, 11)
FOLDS = 5
DRAWS = 2000


@dataclass
class Run:
    """What a rule did with every row at every setting: right or not, and the cost."""

    right: np.ndarray
    cost: np.ndarray

    def at(self, cost: float) -> np.ndarray:
        """Each row's chance to be right where two neighbouring settings are mixed so that the mean cost is `cost`."""
        # No call at all is one more setting: what a rule cannot pay for, it does not answer.
        right = np.column_stack([np.zeros(len(self.right)), self.right])
        means = np.concatenate([[0.0], self.cost.mean(0)])
        order = np.lexsort((-right.mean(0), means))
        places = order[_hull(means[order], right.mean(0)[order])]
        costs = means[places]
        if cost >= costs[-1]:
            return right[:, places[-1]]
        upper = int(np.searchsorted(costs, cost, side="right"))
        share = (cost - costs[upper - 1]) / (costs[upper] - costs[upper - 1])
        return (1 - share) * right[:, places[upper - 1]] + share * right[:, places[upper]]

    def over(self, costs: Sequence[float]) -> np.ndarray:
        """The mean of that over several costs."""
        return np.mean([self.at(each) for each in costs], axis=0)

    def cost_of(self, accuracy: float) -> float:
        """The least cost at which it is as accurate, by mixing; infinite where it never is."""
        for cost in np.linspace(self.cost.mean(0).min(), self.cost.mean(0).max(), 400):
            if self.at(float(cost)).mean() >= accuracy:
                return float(cost)
        return float("inf")


def _hull(costs: np.ndarray, rights: np.ndarray) -> list[int]:
    """The upper hull of the settings: what mixing them can reach."""
    found: list[int] = []
    for place in range(len(costs)):
        if found and rights[found[-1]] >= rights[place]:
            continue
        while len(found) >= 2:
            (a, b) = found[-2:]
            if (rights[b] - rights[a]) * (costs[place] - costs[a]) > (rights[place] - rights[a]) * (
                costs[b] - costs[a]
            ):
                break
            found.pop()
        found.append(place)
    return found


def text_model() -> object:
    """Words and pairs of words, and a linear model."""
    return make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=3, max_features=6000, sublinear_tf=True),
        LogisticRegression(C=3, max_iter=60),
    )


def chances(train: Sequence[LadderRow], rows: Sequence[LadderRow], names: Sequence[str]) -> np.ndarray:
    """For each row the chance of each set of right tiers"""
    cells = np.array([sum(row.right(name) << bit for bit, name in enumerate(names)) for row in train])
    model = text_model()
    model.fit([row.query for row in train], cells)  # type: ignore[attr-defined]
    found = np.full((len(rows), 1 << len(names)), 1e-4)
    found[:, model.classes_] += model.predict_proba([row.query for row in rows])  # type: ignore[attr-defined]
    return found / found.sum(1, keepdims=True)


def agreement_table(train: Sequence[LadderRow], low: str, high: str) -> dict[str, tuple[float, ...]]:
    """How often a second sample agrees, by the case of both ends; among rows whose first sample has an answer."""
    counts = {name: np.ones(4) for name in ("agree", "differ", "none")}
    for row in train:
        answers = row.answers[low]
        if len(answers) < 2 or answers[0] is None:
            continue
        case = (0 if row.right(high) else 1) if row.right(low) else (2 if row.right(high) else 3)
        counts["none" if answers[1] is None else "agree" if answers[0] == answers[1] else "differ"][case] += 1
    total = sum(counts.values())
    return {name: tuple(float(each) for each in count / total) for name, count in counts.items()}


def base_rates(train: Sequence[LadderRow], names: Sequence[str]) -> np.ndarray:
    """The share of the training rows with each set of right tiers."""
    cells = np.array([sum(row.right(name) << bit for bit, name in enumerate(names)) for row in train])
    counts = np.bincount(cells, minlength=1 << len(names)) + 0.5
    return counts / counts.sum()


def marginal(joint: np.ndarray, tiers: Sequence[int]) -> np.ndarray:
    """The chance of each set of right tiers among `tiers`, from that of each set of all."""
    found = np.zeros((len(joint), 1 << len(tiers)))
    for place in range(joint.shape[1]):
        found[:, sum((place >> tier & 1) << bit for bit, tier in enumerate(tiers))] += joint[:, place]
    return found


def ladder_run(
    rows: Sequence[LadderRow], train: Sequence[LadderRow], names: Sequence[str], prior: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What the router does on `rows` at each worth of a right answer, by its own decision functions."""
    costs = [COSTS[name] for name in names]
    data = fit(train, {name: COSTS[name] for name in names})
    if len(names) < 3:
        data = data.model_copy(update={"middle": LadderData.builtin().middle})
    comparisons = Comparisons(data, list(names))
    table = agreement_table(train, names[0], names[-1])
    right, cost = np.zeros((len(rows), len(VALUES))), np.zeros((len(rows), len(VALUES)))
    for number, row in enumerate(rows):
        ends, between = _split(prior[number], len(names))
        for place, value in enumerate(VALUES):
            right[number, place], cost[number, place] = _answer(
                row, names, costs, Climb(comparisons, between, value), ends, table
            )
    return right, cost


def _split(joint: np.ndarray, tiers: int) -> tuple[Belief, tuple[tuple[float, float, float, float], ...]]:
    """The case of both ends, and the chances of each tier between by that case."""
    top = tiers - 1
    ends, inside = np.zeros(4), np.zeros((max(0, tiers - 2), 4))
    for place, chance in enumerate(joint):
        low, high = place & 1, place >> top & 1
        case = (0 if high else 1) if low else (2 if high else 3)
        ends[case] += chance
        for tier in range(1, top):
            inside[tier - 1, case] += chance * (place >> tier & 1)
    tables = tuple(tuple(float(each) for each in row / np.maximum(ends, 1e-9)) for row in inside)
    return Belief.of([float(each) for each in ends]), tables  # type: ignore[return-value]


def _answer(
    row: LadderRow,
    names: Sequence[str],
    costs: Sequence[float],
    climb: Climb,
    ends: Belief,
    table: Mapping[str, Sequence[float]],
) -> tuple[bool, float]:
    """Whether the answer is right, and what it cost."""
    calls = [TierCall(tier, costs[tier], costs[tier]) for tier in range(1, len(names))]
    start = climb.standing(ends)
    ahead = [climb.call(start, call, calls[number + 1 :]).utility(climb.value) for number, call in enumerate(calls)]
    place = int(np.argmax(ahead))
    first = calls[place]
    if _cascade(row, names, costs, climb, ends, table, calls) >= ahead[place]:
        spent, standing = _lowest(row, names, costs, climb, ends, table, calls)
        left = calls
    else:
        spent, standing = costs[first.tier], _after(row, names, climb, start, first.tier)
        left = [call for call in calls if call.tier > first.tier]
    while left:
        call, _ = climb.next_call(standing, left)
        if call is None and standing.best is None:
            call = left[0]
        if call is None:
            break
        spent += call.money
        standing = _after(row, names, climb, standing, call.tier)
        left = [each for each in left if each.tier > call.tier]
    best = standing.best
    return (False if best is None else row.right(names[best])), spent


def _cascade(
    row: LadderRow,
    names: Sequence[str],
    costs: Sequence[float],
    climb: Climb,
    ends: Belief,
    table: Mapping[str, Sequence[float]],
    calls: Sequence[TierCall],
) -> float:
    """What beginning with the lowest tier is expected to be worth, a second sample included where that pays."""

    def on(belief: Belief) -> float:
        return climb.next_call(climb.standing(belief, ((0,),)), calls)[1].utility(climb.value)

    sampled = sum(ends.chance(each) * on(ends.given(each)) for each in table.values()) - costs[0]
    return max(on(ends), sampled if len(row.answers[names[0]]) > 1 else 0.0) - costs[0]


def _lowest(
    row: LadderRow,
    names: Sequence[str],
    costs: Sequence[float],
    climb: Climb,
    ends: Belief,
    table: Mapping[str, Sequence[float]],
    calls: Sequence[TierCall],
) -> tuple[float, object]:
    """The lowest tier's answer, and a second sample of it where that pays."""
    answers, spent = row.answers[names[0]], costs[0]
    if answers[0] is None:
        return spent, climb.standing(ends.without_standard())
    values = Utilities(climb.value, costs[0], 0.0, True, True, partial(climb.worth_of_going_up, calls))
    ahead = [Prospect(ends.chance(each), ends.given(each)) for each in table.values()]
    if len(answers) > 1 and best_step(ends, values, [Offer("sample", costs[0], ahead)])[0] == "sample":
        spent += costs[0]
        outcome = "none" if answers[1] is None else "agree" if answers[1] == answers[0] else "differ"
        ends = ends.given(table[outcome])
        groups = {"none": ((0,),), "agree": ((0, SAMPLE),), "differ": ((0,), (SAMPLE,))}[outcome]
        return spent, climb.standing(ends, groups)
    return spent, climb.standing(ends, ((0,),))


def _after(row: LadderRow, names: Sequence[str], climb: Climb, standing: object, tier: int) -> object:
    """Once `tier` has answered."""
    answer = row.answers[names[tier]][0]
    if answer is None:
        return type(standing)(standing.belief.without(tier), standing.groups)  # type: ignore[attr-defined,call-arg]
    for place, group in enumerate(standing.groups):  # type: ignore[attr-defined]
        said = [row.answers[names[0]][1] if each == SAMPLE else row.answers[names[each]][0] for each in group]
        if answer in said:
            return climb.answered(standing, tier, place)  # type: ignore[arg-type]
    return climb.answered(standing, tier, len(standing.groups))  # type: ignore[arg-type,attr-defined]


def argrouter_run(
    rows: Sequence[LadderRow], train: Sequence[LadderRow], names: Sequence[str]
) -> tuple[np.ndarray, ...]:
    """P(right) − λ · cost over the tiers, each P from the question alone; one call."""
    said = []
    for name in names:
        model = text_model()
        model.fit([row.query for row in train], [row.right(name) for row in train])  # type: ignore[attr-defined]
        said.append(model.predict_proba([row.query for row in rows])[:, 1])  # type: ignore[attr-defined]
    costs = np.array([COSTS[name] for name in names])
    right, cost = np.zeros((len(rows), len(VALUES))), np.zeros((len(rows), len(VALUES)))
    truth = np.array([[row.right(name) for name in names] for row in rows])
    for place, value in enumerate(VALUES):
        chosen = np.argmax(value * np.array(said).T - costs, axis=1)
        right[:, place], cost[:, place] = truth[np.arange(len(rows)), chosen], costs[chosen]
    return right, cost


def mixing(rows: Sequence[LadderRow], names: Sequence[str]) -> Run:
    """Each tier for a random share of the questions."""
    return Run(
        np.array([[float(row.right(name)) for name in names] for row in rows]),
        np.tile([COSTS[name] for name in names], (len(rows), 1)).astype(float),
    )


def plain(rows: Sequence[LadderRow]) -> Run:
    """Two samples of the lowest tier; where they differ the middle, the highest, or the middle and, where it agrees
    with neither, the highest."""
    right, cost = [], []
    for row in rows:
        one, two = row.answers[LOW][:2]
        agreed, middle = one is not None and one == two, row.answers[MIDDLE][0]
        twice = 2 * COSTS[LOW]
        seen = middle is not None and middle in (one, two)
        third = (row.right(LOW), twice) if agreed else (row.right(MIDDLE), twice + COSTS[MIDDLE])
        if not agreed and not seen:
            third = row.right(HIGH), twice + COSTS[MIDDLE] + COSTS[HIGH]
        ways = [
            (row.right(LOW), COSTS[LOW]),
            (row.right(LOW), twice) if agreed else (row.right(MIDDLE), twice + COSTS[MIDDLE]),
            (row.right(LOW), twice) if agreed else (row.right(HIGH), twice + COSTS[HIGH]),
            third,
            (row.right(HIGH), COSTS[HIGH]),
        ]
        right.append([float(each) for each, _ in ways])
        cost.append([each for _, each in ways])
    return Run(np.array(right), np.array(cost))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--held-out", choices=["dataset", "category"], help="Hold out whole families.")
    parser.add_argument("--every", type=int, default=1, help="Take every n-th row.")
    options = parser.parse_args()
    path = Path(os.environ["DEEPTHRIFT_ROUTER_DATA"]) / "reasoning_gym_ladder.jsonl.gz"
    rows = [
        row
        for row in read_ladder(path)
        if "easy" in row.source
        and all(name in row.answers for name in (LOW, MIDDLE, HIGH))
        and len(row.answers[LOW]) > 1
    ][:: options.every]
    folds = fold_of(rows, options.held_out)
    every = (LOW, MIDDLE, HIGH)

    def out_of_fold(work: Callable[..., tuple[np.ndarray, ...]]) -> Run:
        right, cost = np.zeros((len(rows), len(VALUES))), np.zeros((len(rows), len(VALUES)))
        for fold in range(FOLDS):
            here = folds == fold
            train = [row for row, inside in zip(rows, here, strict=True) if not inside]
            test = [row for row, inside in zip(rows, here, strict=True) if inside]
            right[here], cost[here] = work(test, train, priors[here])
        return Run(right, cost)

    def ladder(names: Sequence[str]) -> Run:
        tiers = [every.index(name) for name in names]
        return out_of_fold(lambda test, train, prior: ladder_run(test, train, names, marginal(prior, tiers)))

    priors = np.zeros((len(rows), 1 << len(every)))
    for fold in range(FOLDS):
        here = folds == fold
        train = [row for row, inside in zip(rows, here, strict=True) if not inside]
        test = [row for row, inside in zip(rows, here, strict=True) if inside]
        priors[here] = chances(train, test, every)
        if options.held_out is not None:
            # On families that were not seen the words say nothing, and the base rates are what is left.
            priors[here] = base_rates(train, every)

    runs = {
        "three tiers": ladder((LOW, MIDDLE, HIGH)),
        f"two: {LOW}, {HIGH}": ladder((LOW, HIGH)),
        f"two: {LOW}, {MIDDLE}": ladder((LOW, MIDDLE)),
        f"two: {MIDDLE}, {HIGH}": ladder((MIDDLE, HIGH)),
        "P(right) − λ · cost": out_of_fold(lambda test, train, _: argrouter_run(test, train, every)),
        "plain agreement": plain(rows),
        "random mixing": mixing(rows, (LOW, MIDDLE, HIGH)),
    }
    report(runs, rows, folds)


def fold_of(rows: Sequence[LadderRow], held_out: str | None) -> np.ndarray:
    """The fold of each row; equal questions, or whole families, stay together."""
    keys = [row.query if held_out is None else getattr(row, held_out) for row in rows]
    names = sorted(set(keys))
    np.random.default_rng(0).shuffle(names)
    known = {name: place % FOLDS for place, name in enumerate(names)}
    return np.array([known[key] for key in keys])


def report(runs: Mapping[str, Run], rows: Sequence[LadderRow], folds: np.ndarray) -> None:
    """The table, and the comparison with the best router of two tiers."""
    top = float(np.mean([row.right(HIGH) for row in rows]))
    costs = [float(each) * COSTS[HIGH] for each in LEVELS]
    print(f"{len(rows)} rows; {HIGH} alone: {top:.3f} at {COSTS[HIGH]:g}")
    print("| rule | at 15 | at 30 | at 36 | at 45 | mean of 15 to 45 | share of the cost for the same accuracy |")
    print("|---|---|---|---|---|---|---|")
    for name, run in runs.items():
        cells = [f"{run.at(each).mean():.3f}" for each in (15.0, 30.0, 36.0, 45.0)]
        share = run.cost_of(top) / COSTS[HIGH]
        print(
            f"| {name} | {' | '.join(cells)} | {run.over(costs).mean():.3f} | {share:.0%} |"
            if share < 9
            else f"| {name} | {' | '.join(cells)} | {run.over(costs).mean():.3f} | never |"
        )
    three = runs["three tiers"].over(costs)
    best = np.zeros(len(rows))
    for cost in costs:
        # The best one at this cost, chosen on the other folds.
        twos = [run.at(cost) for name, run in runs.items() if name.startswith("two")]
        for fold in range(FOLDS):
            here = folds == fold
            best[here] += max(twos, key=lambda each: each[~here].mean())[here] / len(costs)
    gain = three - best
    draws = np.random.default_rng(1)
    means = [gain[draws.integers(0, len(gain), len(gain))].mean() for _ in range(DRAWS)]
    low, high = np.quantile(means, (0.025, 0.975))
    print(f"three tiers against the best two, mean of 15 to 45: {gain.mean():+.4f} ({low:+.4f} to {high:+.4f})")


if __name__ == "__main__":
    main()
