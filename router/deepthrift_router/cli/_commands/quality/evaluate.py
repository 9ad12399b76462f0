"""Judge the router on recorded outcomes, or live."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import click

from deepthrift_router.cli._shared.exits import OK
from deepthrift_router.cli._shared.options import (
    EndpointOptions,
    cross_check_option,
    endpoint_options,
    json_option,
    number,
    said,
    unprotected_code_option,
)

EPILOG = """\b
Examples:
  deepthrift evaluate outcomes.jsonl
  deepthrift evaluate outcomes.jsonl --grader numeric --json
  deepthrift evaluate outcomes.jsonl --html report.html
  deepthrift evaluate questions.jsonl --live --grader numeric --budget 1

DATA are graded outcomes, as `collect` writes them: they are replayed through the router, and nothing is asked. With
--live, they are questions with a reference, and each is asked under every policy.
"""


@click.command("evaluate", epilog=EPILOG)
@click.argument(
    "data", nargs=-1, required=True, metavar="DATA...", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the report with its figures here.")
@click.option("--png", type=click.Path(file_okay=False, path_type=Path), help="Write the figures into this folder.")
@click.option("--live", is_flag=True, help="Ask the endpoint instead of replaying.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Choice(["standard", "thinking", "cascade", "auto"]),
    help="With --live: what is compared; may be repeated.  [default: standard, thinking, auto]",
)
@click.option(
    "--grader",
    type=click.Choice(["exact", "numeric", "choice", "regex", "code", "judge"]),
    help="How answers are graded by their reference, where they have no grade.  [default with --live: exact]",
)
@cross_check_option
@click.option("--settings", type=click.Path(file_okay=False, path_type=Path), help="The folder of settings.")
@click.option(
    "--max-tokens", type=click.IntRange(min=1), metavar="N", help="With --live: the most tokens of each call."
)
@click.option("--budget", type=number, metavar="AMOUNT", help="With --live: the most that it may cost.")
@click.option(
    "--at-once", type=click.IntRange(min=1), default=4, show_default=True, help="Questions under way at once."
)
@unprotected_code_option
@endpoint_options
@json_option
def command(
    data: tuple[Path, ...],
    html: Path | None,
    png: Path | None,
    live: bool,
    policies: tuple[str, ...],
    grader: str | None,
    cross_checks: tuple[str, ...],
    settings: Path | None,
    max_tokens: int | None,
    budget: Decimal | None,
    at_once: int,
    unprotected: bool,
    endpoint: EndpointOptions,
    as_json: bool,
) -> int:
    """Judge the router on recorded outcomes, or live on questions of your own."""
    from deepthrift_router.cli._shared.connect import prepare, run
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    if not live:
        if options := said("html", "png", "grader", "cross_checks", "settings", "unprotected", "as_json"):
            raise click.UsageError(f"{options[0]} goes with --live")
        if grader == "judge":
            raise click.UsageError("--grader judge goes with --live")
        from deepthrift_router.cli._answers.evaluating import replay

        run(
            replay(
                data,
                output,
                grader=grader,
                cross_checks=cross_checks,
                settings=settings,
                html=html,
                png=png,
                unprotected=unprotected,
            )
        )
        return OK
    if html is not None or png is not None:
        raise click.UsageError("--html and --png go with recorded outcomes")
    if cross_checks:
        raise click.UsageError("--cross-check goes with recorded outcomes")
    from deepthrift_router.cli._answers.labels import evaluate_live
    from deepthrift_router.labels import read_prompts

    questions = [question for path in data for question in read_prompts(path)]
    place = prepare(endpoint, output)
    return run(
        evaluate_live(
            place,
            output,
            questions,
            policies=policies or ("standard", "thinking", "auto"),
            grader=grader or "exact",
            settings=settings,
            max_tokens=max_tokens,
            budget=budget,
            at_once=at_once,
            unprotected=unprotected,
        )
    )
