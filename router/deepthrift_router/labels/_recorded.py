"""Recorded outcomes as labelled answers: what calibration and a promise can learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from deepthrift_router._answers.tokens import span_of
from deepthrift_router._belief.likelihoods import Likelihoods
from deepthrift_router._belief.posterior import posterior
from deepthrift_router._belief.prior import Prior, Scorer
from deepthrift_router._belief.verification import CROSS_CHECK, check_outcome, extent_of, replay
from deepthrift_router._learn.answered import Answered, process_of
from deepthrift_router._learn.setting import Setting
from deepthrift_router._learn.store import RouterStore
from deepthrift_router.evaluation import Outcome

_AT = datetime(2000, 1, 1, tzinfo=UTC)
"""Collected answers are older than all traffic: they are no news of it."""


def label_recorded(
    outcome: Outcome,
    store: RouterStore,
    setting: Setting | None = None,
    *,
    samples: int = 3,
    scorer: Scorer | None = None,
    checks: Sequence[str] = (),
) -> Answered | None:
    """The labelled answer that a live call would have left, with `samples` standard samples; `None` without grades.

    `checks` names the other models, one or two, whose recorded answers count as a cross-check.
    """
    if not outcome.graded:
        return None
    base = scorer or Prior.builtin()
    likelihoods = Likelihoods.builtin() if setting is None else setting.likelihoods()
    score = (base if setting is None else setting.scorer(base)).score(outcome.conversation)
    answers = outcome.samples[:samples]
    seen = replay(score.belief, score.weight, likelihoods, outcome.standard_answer or "", answers)
    names: list[str] = []
    evidence = [(item.signal, item.condition, item.outcome) for item in seen.evidence]
    logprobs = outcome.standard_extra.logprobs
    span = span_of(logprobs[0]) if logprobs else None
    if span is not None:
        evidence.append(("logprobs", "any", span))
    condition = "any" if answers[0] is None else extent_of(answers[0])
    signals: object = (outcome.standard_extra.model_extra or {}).get("signals")
    if isinstance(signals, Mapping):
        outcomes = cast("Mapping[object, object]", signals)
        evidence += [(str(name), condition, str(found)) for name, found in outcomes.items()]
        names += [str(name) for name in outcomes if likelihoods.table(str(name))]
    if checks and answers[0] is not None:
        others = outcome.other_answers(checks[:2])
        evidence.append((CROSS_CHECK, f"of {len(others)}", check_outcome(answers[0], others)))
    if checks and likelihoods.table(CROSS_CHECK, f"of {len(checks[:2])}"):
        names.append(f"{CROSS_CHECK} of {len(checks[:2])}")
    belief = posterior(score.belief, score.weight, evidence, likelihoods)
    return Answered(
        group_id=f"collected-{outcome.id}",
        at=_AT,
        question=store.hash_of(outcome.question),
        setting="shipped" if setting is None else setting.version,
        process=process_of(samples, names),
        plan="cascade",
        mode="standard",
        escalated=False,
        cells=base.score(outcome.conversation).cells,
        weight=score.weight,
        p_standard=belief.p_standard,
        p_thinking=belief.p_thinking,
        evidence=tuple(evidence),
        cost=0,
        kept_right=outcome.sample_right(seen.chosen),
        thinking_right=outcome.thinking_right,
        label="collected",
    )
