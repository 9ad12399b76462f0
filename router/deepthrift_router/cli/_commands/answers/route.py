"""Show what the router would do, what it costs, and why."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import click

from deepthrift_router.cli._shared.options import EndpointOptions, asked, endpoint_options, json_option, number

if TYPE_CHECKING:
    from deepthrift_router import RoutePolicy

EPILOG = """\b
Examples:
  deepthrift route "Is 91 prime?"
  deepthrift route --json "Is 91 prime?" | jq .reason
  deepthrift route --target-share 0.2 "Is 91 prime?"
  deepthrift route --tiers standard,thinking:low,thinking:max "Is 91 prime?"
  deepthrift route --run --value 0.05 --max-cost 0.002 "Is 91 prime?"
  deepthrift route --run --json "Is 91 prime?" | jq .decision.reason

Without --run nothing is asked, fetched or started: it tells the plan, the chances that each mode is right, what each
plan would cost, and what would be bought. With --run, as with `ask --mode auto`, the router asks in standard mode,
checks the answer (its end, its shape, a second sample), and thinks only when that is worth its price. The saving it
tells is net of every check, and negative when routing cost more.

What it learns is kept beside the ledger, without any text; the setting that `deepthrift calibrate` wrote is in force.
"""


@click.command("route", epilog=EPILOG)
@click.argument("question")
@click.option("--run", "running", is_flag=True, help="Ask, and show the answer with the path that was taken.")
@click.option("--system", metavar="TEXT", help="Instructions for the model.")
@click.option(
    "--max-tokens", type=click.IntRange(min=1), metavar="N", help="The most that may be generated in each call."
)
@click.option("--temperature", type=click.FloatRange(0, 2), metavar="T", help="With --run: 0 is deterministic.")
@click.option("--seed", type=int, metavar="N", help="With --run: for repeatable sampling, where the host supports it.")
@click.option(
    "--tiers",
    metavar="A,B,…",
    help="The ladder, the cheapest first: standard, thinking, thinking:LEVEL or thinking:TOKENS, with @MODEL for "
    "another model of the endpoint.",
)
@click.option("--policy", type=click.Choice(["auto", "cascade", "standard", "thinking"]), help="How to route.")
@click.option("--value", type=number, metavar="AMOUNT", help="What a right answer is worth.")
@click.option("--max-cost", type=number, metavar="AMOUNT", help="The most that all calls of the answer may cost.")
@click.option("--max-quality-loss", type=float, metavar="SHARE", help="Accuracy that may be lost; needs labels.")
@click.option("--target-share", type=float, metavar="SHARE", help="Share of answers to be escalated.")
@click.option("--deadline", type=float, metavar="SECONDS", help="How long the answer may take.")
@endpoint_options
@json_option
def command(
    question: str,
    running: bool,
    system: str | None,
    max_tokens: int | None,
    temperature: float | None,
    seed: int | None,
    tiers: str | None,
    policy: RoutePolicy | None,
    value: Decimal | None,
    max_cost: Decimal | None,
    max_quality_loss: float | None,
    target_share: float | None,
    deadline: float | None,
    endpoint: EndpointOptions,
    as_json: bool,
) -> None:
    """Show what the router would do with QUESTION (- reads standard input), what it would cost, and why."""
    messages = asked(question, system)
    if not running and (temperature is not None or seed is not None):
        raise click.UsageError("--temperature and --seed belong to --run")
    from deepthrift_router import Preferences
    from deepthrift_router.cli._answers.routing import ask_routed, show_plan
    from deepthrift_router.cli._shared.connect import choose, prepare, run
    from deepthrift_router.cli._shared.output import Output

    preferences = Preferences(
        policy=policy,
        value_of_right_answer=value,
        max_cost=max_cost,
        max_quality_loss=max_quality_loss,
        target_share=target_share,
        deadline=deadline,
    )
    output = Output(as_json=as_json)
    names = None if tiers is None else [each.strip() for each in tiers.split(",")]
    if not running:
        run(show_plan(messages, choose(endpoint), output, preferences, max_tokens=max_tokens, tiers=names))
        return
    run(
        ask_routed(
            messages,
            prepare(endpoint, output),
            output,
            preferences=preferences,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
            tiers=names,
        )
    )
