"""What routing is worth on the user's own traffic, estimated from audits and labels instead of claimed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from typing import Final

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing import Money
from deepthrift_router._learn.answered import Answered
from deepthrift_router._record.changes import Change

_Z: Final = 1.96
_WINDOW: Final = 200
_LEAST: Final = 50
_ALARM: Final = 3.0
"""Standard errors from which a change is told: one false alarm in about 400 looks."""


class Figure(BaseModel):
    """An estimate with its 95 % interval."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    value: float
    low: float
    high: float
    rows: int
    """Answers that it rests on."""


class AuditReport(BaseModel):
    """What the store says of the answers so far. A figure that nothing is known of is `None`.

    Answers of which both modes were seen only by chance count by one over that chance (inverse-propensity weights,
    Hájek's estimator), so that the figures are those of all traffic and not of what was looked at.
    """

    model_config = ConfigDict(frozen=True, defer_build=True)

    answers: int
    audited: int
    """Answers of which both modes were seen."""
    labelled: int
    """Answers of which it is known whether both modes were right."""
    thinking_share: Figure | None
    agreement: Figure | None
    """Share of all answers on which both modes say the same."""
    quality_standard: Figure | None
    """Accuracy that always accepting the standard answer has."""
    quality_thinking: Figure | None
    """Accuracy that always thinking has."""
    quality_routed: Figure | None
    """Accuracy of the router."""
    quality_lost: Figure | None
    """Accuracy of always thinking less the router's; negative where routing is better."""
    regret: Figure | None
    """Accuracy of a choice that is always right, less the router's."""
    spent: Money | None
    saved: Money | None
    """Against always thinking, where it is known, and less what the audits cost."""
    saved_answers: int
    """Answers for which the saving is known."""
    audit_cost: Money | None
    calibration_error: float | None
    """Mean distance between the confidence in the given answer and the share that was right, in five bins."""
    shadow_differs: Figure | None
    """Share of answers on which the shadow setting would have done something else."""
    drift: tuple[str, ...]
    """What changed lately beyond chance, in words."""
    model_changed: str | None = None
    """That another model, or another version of it, answers since when, and how many answers and labels are of it."""


def report_of(rows: Sequence[Answered], change: Change | None = None) -> AuditReport:
    """The report on `rows`, the oldest first. Answers that were collected for it are no traffic, and don't count.

    Where the model has changed, it says how many answers and labels are from after that.
    """
    changed = None
    if change is not None:
        since = [row for row in rows if row.at >= change.at]
        labels = sum(row.labelled for row in since)
        changed = f"{change.news} since {change.when}; {len(since)} answers and {labels} labels are from after it"
    rows = [row for row in rows if row.label != "collected"]
    seen = [row for row in rows if row.propensity]
    labelled = [row for row in seen if row.labelled and row.right is not None]
    currency = rows[0].currency if rows else "USD"
    same = [row for row in rows if row.currency == currency]
    known = [row for row in same if row.saved is not None]
    audit_cost = sum(row.audit_cost for row in same)
    return AuditReport(
        model_changed=changed,
        answers=len(rows),
        audited=len(seen),
        labelled=len(labelled),
        thinking_share=_mean(rows, lambda row: float(row.escalated), weighted=False),
        agreement=_mean([row for row in seen if row.same is not None], lambda row: float(row.same or False)),
        quality_standard=_mean(labelled, lambda row: float(row.kept_right or False)),
        quality_thinking=_mean(labelled, lambda row: float(row.thinking_right or False)),
        quality_routed=_mean(labelled, lambda row: float(row.right or False)),
        quality_lost=_mean(labelled, lambda row: float(row.thinking_right or False) - float(row.right or False)),
        regret=_mean(
            labelled, lambda row: float(bool(row.kept_right or row.thinking_right)) - float(row.right or False)
        ),
        spent=Money(sum(row.cost for row in same), currency) if same else None,
        saved=Money(sum(row.saved or 0 for row in known) - audit_cost, currency) if known else None,
        saved_answers=len(known),
        audit_cost=Money(audit_cost, currency) if same else None,
        calibration_error=_calibration_error([row for row in rows if row.right is not None]),
        shadow_differs=_mean(
            [row for row in rows if row.shadow is not None],
            lambda row: float((row.shadow == "escalate") != row.escalated),
            weighted=False,
        ),
        drift=tuple(drift_of(rows)),
    )


def _mean(rows: Sequence[Answered], value: Callable[[Answered], float], *, weighted: bool = True) -> Figure | None:
    if not rows:
        return None
    weights = [1 / (row.propensity or 1.0) if weighted else 1.0 for row in rows]
    values = [value(row) for row in rows]
    total = sum(weights)
    mean = sum(weight * each for weight, each in zip(weights, values, strict=True)) / total
    if len(rows) < 2:
        return Figure(value=mean, low=-1.0 if min(values) < 0 else 0.0, high=1.0, rows=1)
    spread = sum((weight * (each - mean)) ** 2 for weight, each in zip(weights, values, strict=True))
    effective = total**2 / sum(weight**2 for weight in weights)
    # Agresti and Coull's two added outcomes of each kind keep an interval from closing on nothing seen.
    error = _Z * sqrt(spread / total**2 * len(rows) / (len(rows) - 1) + 1 / (effective + _Z**2) ** 2)
    return Figure(value=mean, low=mean - error, high=mean + error, rows=len(rows))


def _calibration_error(rows: Sequence[Answered]) -> float | None:
    if len(rows) < _LEAST:
        return None
    confidence = [row.confidence for row in rows]
    return calibration_error(confidence, [row.right or False for row in rows], bins=5)


def calibration_error(confidence: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error: by bins of confidence, how far it is from the share that was right, on average."""
    gaps: dict[int, float] = {}
    for sure, was_right in zip(confidence, right, strict=True):
        place = min(bins - 1, max(0, int(sure * bins)))
        gaps[place] = gaps.get(place, 0.0) + was_right - sure
    return sum(map(abs, gaps.values())) / len(right) if right else 0.0


def drift_of(rows: Sequence[Answered]) -> list[str]:
    """What changed over the last answers beyond chance, in words."""
    lately, before = rows[-_WINDOW:], rows[:-_WINDOW]
    measures: list[tuple[str, Callable[[Answered], float | None]]] = [
        ("the share of escalated answers", lambda row: float(row.escalated)),
        ("the confidence in standard answers", lambda row: row.p_standard),
        ("the weight of the score, which is low on unfamiliar questions", lambda row: row.weight),
        ("the share of right answers", lambda row: None if row.right is None else float(row.right)),
        ("the agreement of both modes", lambda row: None if row.same is None else float(row.same)),
    ]
    alerts: list[str] = []
    for name, measure in measures:
        old = [value for row in before if (value := measure(row)) is not None]
        new = [value for row in lately if (value := measure(row)) is not None]
        if min(len(old), len(new)) < _LEAST:
            continue
        a, b = sum(old) / len(old), sum(new) / len(new)
        error = sqrt(_variance(old, a) / len(old) + _variance(new, b) / len(new))
        if abs(b - a) > max(_ALARM * error, 0.01):
            alerts.append(f"{name} went from {a:.2f} to {b:.2f} over the last {len(new)} answers")
    return alerts


def _variance(values: Sequence[float], mean: float) -> float:
    return (sum((value - mean) ** 2 for value in values) + 0.25) / (len(values) + 1)
