"""What `deepthrift evaluate` does with recorded outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from deepthrift_router.cli._answers.labels import sandbox_for
from deepthrift_router.cli._shared.output import table
from deepthrift_router.cli._shared.paths import router_settings

if TYPE_CHECKING:
    from deepthrift_router import Belief
    from deepthrift_router.cli._shared.output import Output
    from deepthrift_router.evaluation import Evaluation, GraderName, Outcome


async def replay(
    data: Sequence[Path],
    output: Output,
    *,
    grader: str | None,
    cross_checks: Sequence[str],
    settings: Path | None,
    html: Path | None,
    png: Path | None,
    unprotected: bool = False,
) -> None:
    """Replay, judge and tell; draw, too, where a place for that was named.

    Raises:
        ConfigurationError: A file is wrong, no row of it is graded, or the figures need `deepthrift[report]`.
    """
    from deepthrift_router import Prior, SettingsFolder
    from deepthrift_router.evaluation import (
        evaluate,
        grade_outcomes,
        grader_named,
        judge,
        read_outcomes,
        write_html,
        write_png,
    )

    outcomes = read_outcomes(*data)
    if grader is not None:
        sandbox = sandbox_for(unprotected=unprotected)
        outcomes = await grade_outcomes(outcomes, grader_named(cast("GraderName", grader), sandbox=sandbox))
    setting = SettingsFolder(settings or router_settings()).current()
    scorer = Prior.builtin() if setting is None else setting.scorer(Prior.builtin())
    likelihoods = None if setting is None else setting.likelihoods()

    def believe(outcome: Outcome) -> tuple[Belief, float]:
        score = scorer.score(outcome.conversation)
        return score.belief, score.weight

    with output.working("replaying", elsewhere=False):
        judged = judge(
            outcomes, believe, None if likelihoods is None else (lambda _: likelihoods), checks=tuple(cross_checks)
        )
        report = evaluate(judged, checks=len(cross_checks))
    if html is not None:
        output.note(f"written: {write_html(report, html)}")
    if png is not None:
        output.note(f"written: {', '.join(str(each) for each in write_png(report, png))}")
    version = "shipped" if setting is None else setting.version
    if output.as_json:
        output.document({"setting": version, **report.model_dump(mode="json")})
    else:
        _show(report, version, len(outcomes), output)


def _show(report: Evaluation, version: str, read: int, output: Output) -> None:
    left_out = f", {read - report.rows} without a grade of both modes left out" if read > report.rows else ""
    output.print(f"{report.rows} outcomes{left_out}; the setting is {version}", style="bold")
    output.print(f"standard {report.standard}, thinking {report.thinking}")
    shown = table("rule", "thinking", "accuracy", "PGR", right=("thinking", "accuracy", "PGR"))
    for rule in report.rules:
        for place, point in enumerate(rule.points):
            name = rule.name if place == 0 else ""
            kept = "none" if point.pgr is None else str(point.pgr)
            shown.add_row(name, f"{point.share:.0%}", f"{point.accuracy.value:.3f}", kept)
    output.print(shown)
    if report.auc is not None:
        length = "unknown" if report.auc_length is None else f"{report.auc_length:.3f}"
        output.print(f"AUC of the score, standard fails: {report.auc:.3f}; prompt length {length}")
    output.print(
        f"calibration error: standard {report.calibration_error:.3f}, thinking {report.calibration_error_thinking:.3f}"
    )
    for note in report.notes:
        output.note(note)
