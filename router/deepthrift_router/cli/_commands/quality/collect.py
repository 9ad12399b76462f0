"""Ask both modes your prompts, for labels of your own."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import click

from deepthrift_router._evidence.checks import check_names
from deepthrift_router.cli._shared.options import (
    EndpointOptions,
    endpoint_options,
    json_option,
    number,
    unprotected_code_option,
)

EPILOG = """\b
Examples:
  deepthrift collect prompts.jsonl outcomes.jsonl --budget 2
  deepthrift collect prompts.jsonl outcomes.jsonl --grader numeric
  deepthrift collect prompts.jsonl outcomes.jsonl --check program
  deepthrift calibrate outcomes.jsonl

\b
A line of PROMPTS is a text, or an object:
  {"query": "What is 17 * 23?", "reference": "391", "dataset": "sums"}

Each prompt is asked --samples times in standard mode and once in thinking mode, with log-probabilities where the host
has them. OUT gets one row for each prompt, in the form that `calibrate` and `evaluate` read. Run again, it goes on
where it ended, also after a kill; what killed runs spent counts towards the budget. Prompts and answers are written
into OUT.

\b
Exit codes: 0 every prompt has a row · 1 some have none · 2 the input is wrong
  3 stopped by the budget · 4 stopped by the endpoint · 130 interrupted
"""


@click.command("collect", epilog=EPILOG)
@click.argument("prompts", metavar="PROMPTS", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--samples", type=click.IntRange(1, 8), default=3, show_default=True, help="Standard samples of each prompt."
)
@click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="The most tokens of each call.")
@click.option("--budget", type=number, metavar="AMOUNT", help="The most that all runs into OUT may cost.")
@click.option(
    "--grader",
    type=click.Choice(["exact", "numeric", "choice", "regex", "code", "judge"]),
    help="How answers are graded by the reference of their prompt; judge asks the same endpoint.",
)
@click.option(
    "--check",
    "checks",
    multiple=True,
    type=click.Choice(check_names()),
    help="A check of the first standard answer, for calibrate to learn from; may be repeated.",
)
@click.option("--at-once", type=click.IntRange(min=1), default=4, show_default=True, help="Prompts under way at once.")
@unprotected_code_option
@endpoint_options
@json_option
def command(
    prompts: Path,
    out: Path,
    samples: int,
    max_tokens: int | None,
    budget: Decimal | None,
    grader: str | None,
    checks: tuple[str, ...],
    at_once: int,
    unprotected: bool,
    endpoint: EndpointOptions,
    as_json: bool,
) -> int:
    """Ask both modes the PROMPTS of a file, and write what came of it into OUT."""
    from deepthrift_router.cli._answers.labels import collect
    from deepthrift_router.cli._shared.connect import prepare, run
    from deepthrift_router.cli._shared.output import Output
    from deepthrift_router.labels import read_prompts

    output = Output(as_json=as_json)
    wanted = read_prompts(prompts)
    place = prepare(endpoint, output)
    return run(
        collect(
            place,
            output,
            wanted,
            out,
            samples=samples,
            max_tokens=max_tokens,
            budget=budget,
            grader=grader,
            checks=checks,
            at_once=at_once,
            unprotected=unprotected,
        )
    )
