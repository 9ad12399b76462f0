"""What `deepthrift collect` and `deepthrift evaluate --live` do."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click

from deepthrift_router.cli._shared.connect import Place, connect
from deepthrift_router.cli._shared.exits import BUDGET, ENDPOINT, FAILURE, OK
from deepthrift_router.cli._shared.format import money, seconds
from deepthrift_router.cli._shared.output import table

if TYPE_CHECKING:
    from deepthrift import AsyncClient
    from deepthrift_pricing import Currency, Money
    from deepthrift_router import Figure, Sandbox
    from deepthrift_router.cli._shared.output import Output
    from deepthrift_router.evaluation import Outcome
    from deepthrift_router.labels import Collected, Contestant, LiveGraderName, LiveReport, ReferenceGrader

_STOPPED: Final = {"budget": BUDGET, "endpoint": ENDPOINT}
_SHOWN: Final = 5
"""Prompts without a row or a grade that are named."""


async def collect(
    place: Place,
    output: Output,
    prompts: Sequence[Outcome],
    out: Path,
    *,
    samples: int,
    max_tokens: int | None,
    budget: Decimal | None,
    grader: str | None,
    checks: Sequence[str],
    at_once: int,
    unprotected: bool = False,
) -> int:
    """Collect, with progress on standard error; the exit code.

    Raises:
        click.UsageError: There is a grader, and nothing to grade by.
    """
    from deepthrift_router.labels import Collector

    bare = sum(prompt.reference is None for prompt in prompts)
    if grader is not None and bare == len(prompts):
        raise click.UsageError(f"--grader {grader} needs references to grade by, and no prompt has one")
    if grader is not None and bare:
        output.note(f"{bare} of {len(prompts)} prompts have no reference, so their answers get no grade")

    async with connect(place, output) as client:
        collector = Collector(
            client,
            samples=samples,
            max_tokens=max_tokens,
            budget=_money(client, budget),
            grader=None if grader is None else _grader(client, grader, unprotected=unprotected),
            checks=checks,
            sandbox=sandbox_for(unprotected=unprotected),
            at_once=at_once,
        )

        def tell(state: Collected) -> None:
            failed = f", {len(state.failed)} failed" if state.failed else ""
            output.note(f"{state.done} of {state.prompts} prompts{failed}, {money(state.spent)} spent")

        state = await collector.run(prompts, out, None if output.as_json else tell)
    if output.as_json:
        output.document(
            {
                "prompts": state.prompts,
                "done": state.done,
                "failed": state.failed,
                "spent": state.spent,
                "stopped": state.stopped,
                "stopped_by": state.stopped_by,
                "ungraded": state.ungraded,
                "out": str(out),
            }
        )
    else:
        output.print(f"{state.done} of {state.prompts} prompts have a row in {out}; {money(state.spent)} spent")
        for what, names in (("failed", state.failed), ("no grade", state.ungraded)):
            for name, why in list(names.items())[:_SHOWN]:
                output.note(f"{what}: {name}: {why}")
            if len(names) > _SHOWN:
                output.note(f"{what}: {len(names) - _SHOWN} more; --json names all")
        if state.stopped is not None:
            output.note(f"stopped: {state.stopped}")
    if state.stopped_by is not None:
        return _STOPPED[state.stopped_by]
    return OK if state.done == state.prompts else FAILURE


async def evaluate_live(
    place: Place,
    output: Output,
    questions: Sequence[Outcome],
    *,
    policies: Sequence[str],
    grader: str,
    settings: Path | None,
    max_tokens: int | None,
    budget: Decimal | None,
    at_once: int,
    unprotected: bool = False,
) -> int:
    """Ask, grade and compare; the exit code."""
    from deepthrift_router import ModeRouter
    from deepthrift_router.cli._shared.paths import router_settings
    from deepthrift_router.labels import LiveEvaluation

    async with connect(place, output) as client, ModeRouter(client, settings=settings or router_settings()) as router:
        evaluation = LiveEvaluation(
            router,
            _grader(client, grader, unprotected=unprotected),
            policies=cast("Sequence[Contestant]", policies),
            max_tokens=max_tokens,
            budget=_money(client, budget),
            at_once=at_once,
        )
        report = await evaluation.run(questions, lambda done: _tell(output, done, len(questions)))
    if output.as_json:
        output.document(report)
    else:
        _show(report, output)
    return OK if report.stopped_by is None else _STOPPED[report.stopped_by]


def _tell(output: Output, done: int, of: int) -> None:
    if not output.as_json and (done % 10 == 0 or done == of):
        output.note(f"{done} of {of} questions")


def _show(report: LiveReport, output: Output) -> None:
    right = ("accuracy", "cost", "calls", "thinking", "time")
    shown = table("policy", *right, right=right)
    for each in report.results:
        shown.add_row(
            each.policy,
            _span(each.accuracy),
            money(each.cost),
            f"{each.calls:.2f}",
            f"{each.thinking_share:.0%}",
            seconds(each.seconds),
        )
    output.print(shown)
    output.print(f"{report.results[0].questions} questions, {money(report.spent)} spent")
    for each in report.results:
        if each.failed:
            output.note(f"{each.policy}: {each.failed} answers failed, and count as wrong")
    if report.gain_kept is not None:
        last = report.results[-1].policy
        output.print(f"{last} keeps {_span(report.gain_kept)} of what thinking adds to standard (PGR)")
    if report.stopped is not None:
        output.note(f"stopped: {report.stopped}")


def _span(figure: Figure | None) -> str:
    return "unknown" if figure is None else f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _grader(client: AsyncClient, name: str, *, unprotected: bool) -> ReferenceGrader:
    from deepthrift_router.labels import ReferenceGrader

    judge, sandbox = client if name == "judge" else None, sandbox_for(unprotected=unprotected)
    return ReferenceGrader(cast("LiveGraderName", name), judge=judge, sandbox=sandbox)


def sandbox_for(*, unprotected: bool) -> Sandbox:
    """Where code of answers runs: isolated or not at all, unless the user asked for less in words."""
    from deepthrift_router import Sandbox

    return Sandbox(required=not unprotected)


def _money(client: AsyncClient, amount: Decimal | None) -> Money | None:
    from deepthrift_pricing import Money

    currency: Currency = "CNY" if {row.currency for row in client.prices.rows} == {"CNY"} else "USD"
    return None if amount is None else Money.of(amount, currency)
