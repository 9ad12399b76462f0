"""`deepthrift route`: a question through the router, or only its plan."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from deepthrift.cli._options import EndpointOptions, endpoint_options, json_option

if TYPE_CHECKING:
    from deepthrift import Message

EPILOG = """\b
Examples:
  deepthrift route "Is 91 prime?"
  deepthrift route --plan "Prove that there are infinitely many primes."
  deepthrift route --json "Is 91 prime?" | jq .decision.reason

The router asks in standard mode, checks the answer (its end, its shape, a second sample), and thinks only when that
is worth its price. The saving it tells is net of every check, and negative when routing cost more.
"""


@click.command("route", epilog=EPILOG)
@click.argument("question")
@click.option("--plan", "plan_only", is_flag=True, help="Show what would be done and what it would cost; ask nothing.")
@click.option("--system", metavar="TEXT", help="Instructions for the model.")
@click.option("--max-tokens", type=int, metavar="N", help="The most that may be generated in each call.")
@endpoint_options
@json_option
def command(
    question: str,
    plan_only: bool,
    system: str | None,
    max_tokens: int | None,
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
    from deepthrift.cli._routing import ask_routed, show_plan

    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": question})
    output = Output(as_json=as_json)
    place = prepare(endpoint, output)
    if plan_only:
        run(show_plan(messages, place, output, max_tokens=max_tokens))
    else:
        run(ask_routed(messages, place, output, max_tokens=max_tokens, temperature=None))
