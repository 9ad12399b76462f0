"""Fits likelihoods and base rates to the user's own labels, and says out of fold whether that is any better."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Final

from deepthrift.errors import NoLift, NotEnoughLabels
from deepthrift_pricing import utc_now
from deepthrift_router._belief.belief import Belief, Cells
from deepthrift_router._belief.evidence import OWN_CHECK
from deepthrift_router._belief.likelihoods import Likelihoods, SignalData, Table
from deepthrift_router._belief.posterior import decisive, posterior
from deepthrift_router._belief.verification import CROSS_CHECK, THIRD
from deepthrift_router._evidence.checks import check_names
from deepthrift_router._learn.answered import Answered, process_of
from deepthrift_router._learn.setting import Lift, PriorShift, Setting

LEAST_LABELS: Final = 100
"""Labelled answers below which nothing is fitted."""
_FOLDS: Final = 5
_LEAST_OF_SIGNAL: Final = 30
_STRENGTH: Final = 25.0
"""Labels that a shipped likelihood counts for."""
_NEW: Final = 4.0
_TEMPERS: Final = (0.0, 0.5, 1.0)
_SCALES: Final = (0.25, 0.5, 1.0)
_ROUNDS: Final = 8
_DRAWS: Final = 400
_FLOOR: Final = 1e-3


@dataclass(frozen=True, slots=True)
class _Fit:
    prior: PriorShift
    likelihoods: Likelihoods
    signals: Mapping[str, SignalData]

    def belief(self, row: Answered) -> Belief:
        return posterior(self.prior.apply(Belief(row.cells)), row.weight, row.evidence, self.likelihoods)


def calibrate(rows: Iterable[Answered], current: Setting | None = None) -> Setting:
    """A setting fitted on the labelled `rows`, if it is better than `current` on labels that it was not fitted on.

    Folds are made by question, so that no question is on both sides. "Better" means that the lower end of the 95 %
    interval of the log loss saved is above 0.

    Raises:
        NotEnoughLabels: There are fewer than 100 labelled answers; it says how many more.
        NoLift: It is not better.
    """
    labelled = [row for row in rows if row.labelled]
    if len(labelled) < LEAST_LABELS:
        raise NotEnoughLabels(
            f"{len(labelled)} labelled answers are too few to fit anything on; {LEAST_LABELS} are needed: label "
            "answers with feedback(), audits and a grader, or `deepthrift collect`",
            labels=len(labelled),
            needed=LEAST_LABELS,
        )
    before = current.likelihoods() if current is not None else Likelihoods.builtin()
    shift = current.prior if current is not None else None
    losses: list[tuple[str, float, float]] = []
    gains: list[tuple[float, int, int]] = []
    for fold in range(_FOLDS):
        held = [row for row in labelled if _fold(row) == fold]
        rest = [row for row in labelled if _fold(row) != fold]
        if not held or not rest:
            continue
        fit = _fit(rest)
        for row in held:
            old = posterior(_start(row, shift), row.weight, row.evidence, before)
            new = fit.belief(row)
            losses.append((row.question, _loss(old, row), _loss(new, row)))
            gains.append((new.gain, int(row.kept_right or False), int(row.thinking_right or False)))
    lift = _lift(losses)
    base = current.version if current is not None else "shipped"
    if lift.low <= 0:
        raise NoLift(
            f"a setting fitted on {len(labelled)} labels is no better than {base!r} on labels that it has not seen "
            f"(log loss {lift.before:.3f} before, {lift.after:.3f} after; saved {lift.mean:+.3f}, 95 % interval "
            f"{lift.low:+.3f} to {lift.high:+.3f}); nothing was written"
        )
    fit = _fit(labelled)
    made = utc_now()
    return Setting(
        version=f"{made:%Y%m%dT%H%M%S}Z",
        made=made,
        base=base,
        labels=len(labelled),
        questions=len({row.question for row in labelled}),
        prior=fit.prior,
        signals=fit.signals,
        lift=lift,
        gains=tuple(gains),
        process=_process(labelled, fit.likelihoods),
    )


def doubt_of(rows: Sequence[Answered], setting: Setting) -> str | None:
    """Why labelled `rows`, which came after `setting`, do not confirm that it is at least as good as the shipped one.

    `None`: they do.
    """
    if len(rows) < LEAST_LABELS:
        return f"{len(rows)} of the {LEAST_LABELS} labelled answers that confirm it are there"
    shipped, fitted = Likelihoods.builtin(), setting.likelihoods()
    losses = [
        (
            _loss(posterior(Belief(row.cells), row.weight, row.evidence, shipped), row),
            _loss(posterior(_start(row, setting.prior), row.weight, row.evidence, fitted), row),
        )
        for row in rows
    ]
    before, after = (sum(each) / len(rows) for each in zip(*losses, strict=True))
    if after <= before:
        return None
    return (
        f"is worse than the shipped one on {len(rows)} labelled answers since then (log loss {after:.3f} against "
        f"{before:.3f}); calibrate again"
    )


def _process(rows: Sequence[Answered], likelihoods: Likelihoods) -> str:
    """How the evidence of all `rows` was bought, with the checks that have data by now; empty: in more than one way."""
    samples = {row.process.partition(",")[0] for row in rows}
    if len(samples) > 1 or not next(iter(samples)).startswith("samples="):
        return ""
    seen: Counter[str] = Counter()
    for row in rows:
        for signal, condition, _ in row.evidence:
            if signal == CROSS_CHECK and likelihoods.table(signal, condition):
                seen[f"{signal} {condition}"] += 1
            elif signal.startswith(OWN_CHECK) or (signal in check_names() and likelihoods.table(signal)):
                seen[signal] += 1
    checks = [name for name, count in seen.items() if count > len(rows) / 2]
    return process_of(int(samples.pop().removeprefix("samples=")), checks)


def _start(row: Answered, shift: PriorShift | None) -> Belief:
    belief = Belief(row.cells)
    return belief if shift is None else shift.apply(belief)


def _fold(row: Answered) -> int:
    return sum(row.question.encode()) % _FOLDS if not _is_hex(row.question) else int(row.question[:8], 16) % _FOLDS


def _is_hex(text: str) -> bool:
    return len(text) >= 8 and all(character in "0123456789abcdef" for character in text[:8])


def _cell(row: Answered) -> int:
    return (0 if row.thinking_right else 1) if row.kept_right else (2 if row.thinking_right else 3)


def _loss(belief: Belief, row: Answered) -> float:
    def of(probability: float, right: bool | None) -> float:
        inside = min(max(probability, _FLOOR), 1 - _FLOOR)
        return -log(inside if right else 1 - inside)

    return of(belief.p_standard, row.kept_right) + of(belief.p_thinking, row.thinking_right)


def _total(rows: Sequence[Answered], fit: _Fit) -> float:
    return sum(_loss(fit.belief(row), row) for row in rows)


def _fit(rows: Sequence[Answered]) -> _Fit:
    """Base rates first, then each signal's table, then how much each new signal is to be believed."""
    shipped = Likelihoods.builtin()
    prior = min((_shift(rows, scale) for scale in _SCALES), key=lambda shift: _prior_loss(rows, shift))
    signals: dict[str, SignalData] = {}
    familiarity = sum(row.weight for row in rows) / len(rows)
    names = {signal for row in rows for signal, _, outcome in row.evidence if not decisive(signal, outcome)}
    for name in sorted(names - {"finish"}):
        seen = sum(any(signal == name for signal, _, _ in row.evidence) for row in rows)
        if seen < _LEAST_OF_SIGNAL:
            continue
        known = shipped.signals.get(name)
        tables = _tables(rows, name, shipped, familiarity)
        temper = known.temper if known is not None else (0.0, 0.0)
        signals[name] = SignalData(source="your labels", rows=seen, temper=temper, tables=tables)
    fit = _with(prior, signals, shipped)
    for name in [each for each in signals if each not in shipped.signals]:
        trials = [
            _with(prior, {**signals, name: signals[name].model_copy(update={"temper": (temper, temper)})}, shipped)
            for temper in _TEMPERS
        ]
        fit = min(trials, key=lambda trial: _total(rows, trial))
        signals = dict(fit.signals)
    return fit


def _with(prior: PriorShift, signals: Mapping[str, SignalData], shipped: Likelihoods) -> _Fit:
    merged = shipped.model_copy(update={"signals": {**shipped.signals, **signals}})
    return _Fit(prior, merged, signals)


def _shift(rows: Sequence[Answered], scale: float) -> PriorShift:
    """The shift that makes the mean of the four probabilities what was observed, a little of the old kept."""
    mean = [sum(row.cells[cell] for row in rows) / len(rows) for cell in range(4)]
    counts = [_STRENGTH * share for share in mean]
    for row in rows:
        counts[_cell(row)] += 1
    wanted = [count / sum(counts) for count in counts]
    powers = [[cell**scale for cell in Belief.of(row.cells).cells] for row in rows]
    factors = [1.0, 1.0, 1.0, 1.0]
    for _ in range(_ROUNDS):
        now = [0.0, 0.0, 0.0, 0.0]
        for power in powers:
            moved = [a * b for a, b in zip(power, factors, strict=True)]
            total = sum(moved)
            now = [a + b / total for a, b in zip(now, moved, strict=True)]
        factors = [a * want * len(rows) / is_ for a, want, is_ in zip(factors, wanted, now, strict=True)]
    return PriorShift(scale=scale, shift=_cells([log(factor) for factor in factors]))


def _prior_loss(rows: Sequence[Answered], shift: PriorShift) -> float:
    return sum(_loss(shift.apply(Belief(row.cells)), row) for row in rows)


def _tables(rows: Sequence[Answered], name: str, shipped: Likelihoods, familiarity: float) -> dict[str, Table]:
    """Counts of outcomes in the four cases, on top of the shipped likelihoods, by condition where there are enough."""
    by_condition: dict[str, list[tuple[str, int]]] = {}
    for row in rows:
        # Once the second answer was taken, the label is about that one, and not about the first.
        if any(signal == THIRD and outcome == "with_second" for signal, _, outcome in row.evidence):
            continue
        for signal, condition, outcome in row.evidence:
            if signal == name:
                by_condition.setdefault(condition, []).append((outcome, _cell(row)))
    everything = [each for found in by_condition.values() for each in found]
    conditions = {"any": everything, **{key: found for key, found in by_condition.items() if key != "any"}}
    known = shipped.signals.get(name)
    shipped_tables = {} if known is None else {each: shipped.table(name, each, familiarity) for each in known.tables}
    tables: dict[str, Table] = {each: table for each, table in shipped_tables.items() if table is not None}
    for condition, found in conditions.items():
        if len(found) >= _LEAST_OF_SIGNAL:
            tables[condition] = _table(found, shipped.table(name, condition, familiarity))
    return tables


def _table(found: Sequence[tuple[str, int]], known: Table | None) -> Table:
    outcomes = sorted({outcome for outcome, _ in found} | set(known or ()))
    table: dict[str, list[float]] = {}
    for outcome in outcomes:
        share = (sum(seen == outcome for seen, _ in found) + 1) / (len(found) + len(outcomes))
        start = [_STRENGTH * chance for chance in known[outcome]] if known and outcome in known else [_NEW * share] * 4
        table[outcome] = start
    for outcome, cell in found:
        table[outcome][cell] += 1
    sums = [sum(row[cell] for row in table.values()) for cell in range(4)]
    return {outcome: _cells([row[cell] / sums[cell] for cell in range(4)]) for outcome, row in table.items()}


def _cells(values: Sequence[float]) -> Cells:
    both, standard, thinking, neither = values
    return both, standard, thinking, neither


def _lift(losses: Sequence[tuple[str, float, float]]) -> Lift:
    by_question: dict[str, list[float]] = {}
    for question, old, new in losses:
        by_question.setdefault(question, []).append(old - new)
    groups = [(sum(saved), len(saved)) for saved in by_question.values()]
    count = sum(size for _, size in groups)
    draw = random.Random(0)  # noqa: S311 - the same interval for the same labels
    means: list[float] = []
    for _ in range(_DRAWS):
        drawn = draw.choices(groups, k=len(groups))
        means.append(sum(saved for saved, _ in drawn) / sum(size for _, size in drawn))
    means.sort()
    return Lift(
        mean=sum(saved for saved, _ in groups) / count,
        low=means[int(0.025 * _DRAWS)],
        high=means[int(0.975 * _DRAWS) - 1],
        before=sum(old for _, old, _ in losses) / count,
        after=sum(new for _, _, new in losses) / count,
        folds=_FOLDS,
    )
