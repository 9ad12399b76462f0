"""`deepthrift route`: a question through the router, or only its plan."""

from __future__ import annotations

import sys
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import click

from deepthrift.cli._options import EndpointOptions, endpoint_options, json_option

if TYPE_CHECKING:
    from deepthrift import Message
    from deepthrift_router import RoutePolicy

EPILOG = """\b
Examples:
  deepthrift route "Is 91 prime?"
  deepthrift route --plan "Prove that there are infinitely many primes."
  deepthrift route --json "Is 91 prime?" | jq .decision.reason
  deepthrift route --value 0.05 --max-cost 0.002 "Is 91 prime?"
  deepthrift route --target-share 0.2 --plan "Is 91 prime?"

The router asks in standard mode, checks the answer (its end, its shape, a second sample), and thinks only when that
is worth its price. The saving it tells is net of every check, and negative when routing cost more.

What it learns is kept beside the ledger, without any text; the setting that `deepthrift calibrate` wrote is in force.
"""


@click.command("route", epilog=EPILOG)
@click.argument("question")
@click.option("--plan", "plan_only", is_flag=True, help="Show what would be done and what it would cost; ask nothing.")
@click.option("--system", metavar="TEXT", help="Instructions for the model.")
@click.option(
    "--max-tokens", type=click.IntRange(min=1), metavar="N", help="The most that may be generated in each call."
)
@click.option("--policy", type=click.Choice(["auto", "cascade", "standard", "thinking"]), help="How to route.")
@click.option("--value", metavar="AMOUNT", help="What a right answer is worth.")
@click.option("--max-cost", metavar="AMOUNT", help="The most that the answer may cost, all its calls together.")
@click.option("--max-quality-loss", type=float, metavar="SHARE", help="Accuracy that may be lost; needs labels.")
@click.option("--target-share", type=float, metavar="SHARE", help="Share of answers to be escalated.")
@click.option("--deadline", type=float, metavar="SECONDS", help="How long the answer may take.")
@endpoint_options
@json_option
def command(
    question: str,
    plan_only: bool,
    system: str | None,
    max_tokens: int | None,
    policy: RoutePolicy | None,
    value: str | None,
    max_cost: str | None,
    max_quality_loss: float | None,
    target_share: float | None,
    deadline: float | None,
    endpoint: EndpointOptions,
    as_json: bool,
) -> None:
    """Ask one QUESTION (- reads standard input) through the router, and see the path and its reasons."""
    if question == "-":
        question = sys.stdin.read()
    if not question.strip():
        raise click.UsageError("the question is empty")
    from deepthrift.cli._connect import prepare, run
    from deepthrift.cli._output import Output
    from deepthrift.cli._routing import ask_preferred, show_plan

    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": question})
    from deepthrift_router import Preferences

    preferences = Preferences(
        policy=policy,
        value_of_right_answer=_amount("--value", value),
        max_cost=_amount("--max-cost", max_cost),
        max_quality_loss=max_quality_loss,
        target_share=target_share,
        deadline=deadline,
    )
    output = Output(as_json=as_json)
    place = prepare(endpoint, output)
    if plan_only:
        run(show_plan(messages, place, output, preferences, max_tokens=max_tokens))
    else:
        run(ask_preferred(messages, place, output, preferences, max_tokens=max_tokens))


def _amount(name: str, text: str | None) -> Decimal | None:
    try:
        return None if text is None else Decimal(text)
    except InvalidOperation:
        raise click.BadParameter(f"{text!r} is not an amount", param_hint=name) from None
