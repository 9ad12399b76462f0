"""Ask one question and stream the answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import click
from click.core import ParameterSource

from deepthrift_router.cli._shared.options import EndpointOptions, asked, endpoint_options, json_option

if TYPE_CHECKING:
    from deepthrift import Message
    from deepthrift_pricing import Mode
    from deepthrift_router.cli._answers.replies import Beside
    from deepthrift_router.cli._shared.connect import Place
    from deepthrift_router.cli._shared.output import Output

EPILOG = """\b
Examples:
  deepthrift ask "What is the capital of France?"
  deepthrift ask --mode thinking "How many primes are below 30?"
  deepthrift ask --host deepseek-v4 --effort max "Is 2^61-1 prime? Prove it."
  deepthrift ask --url http://gpu-box:8000/v1 --mode auto "Is 91 prime?"
  git diff | deepthrift ask --system "Write a commit message." -

Only the answer goes to standard output; reasoning, the cost line and notes go to standard error.
"""


@click.command("ask", epilog=EPILOG)
@click.argument("question")
@click.option(
    "--mode",
    type=click.Choice(["standard", "thinking", "auto"]),
    default="standard",
    show_default=True,
    help="auto lets the router decide.",
)
@click.option("--effort", metavar="LEVEL|N", help="How deeply to think: a level of the host, or a number of tokens.")
@click.option("--system", metavar="TEXT", help="Instructions for the model.")
@click.option(
    "--max-tokens", type=click.IntRange(min=1), metavar="N", help="The most that may be generated, reasoning included."
)
@click.option("--temperature", type=click.FloatRange(0, 2), metavar="T", help="0 is deterministic.")
@click.option("--seed", type=int, metavar="N", help="For repeatable sampling, where the host supports it.")
@click.option("--beside", metavar="NAME|FILE", multiple=True, help="Also show the cost at these prices.")
@endpoint_options
@json_option
def command(
    question: str,
    mode: Literal["standard", "thinking", "auto"],
    effort: str | None,
    system: str | None,
    max_tokens: int | None,
    temperature: float | None,
    seed: int | None,
    beside: tuple[str, ...],
    endpoint: EndpointOptions,
    as_json: bool,
) -> None:
    """Ask one QUESTION (- reads standard input) and stream the answer.

    One line tells tokens, cost, the mode that really ran and the finish reason. The spend goes into the ledger.
    """
    messages = asked(question, system)
    from deepthrift_router.cli._answers.replies import books_beside
    from deepthrift_router.cli._shared.connect import prepare, run
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    books = books_beside(beside)
    place = prepare(endpoint, output)
    if effort is not None and click.get_current_context().get_parameter_source("mode") is ParameterSource.DEFAULT:
        mode = "thinking"
    depth = int(effort) if effort is not None and effort.isdecimal() else effort
    if mode == "auto":
        from deepthrift_router.cli._answers.routing import ask_routed

        run(
            ask_routed(
                messages,
                place,
                output,
                max_tokens=max_tokens,
                temperature=temperature,
                seed=seed,
                effort=depth,
                beside=books,
            )
        )
    else:
        run(_ask(messages, place, output, mode, max_tokens, temperature, seed, depth, books))


async def _ask(
    messages: list[Message],
    place: Place,
    output: Output,
    mode: Mode,
    max_tokens: int | None,
    temperature: float | None,
    seed: int | None,
    effort: str | int | None,
    beside: Beside,
) -> None:
    from deepthrift_router.cli._answers.replies import show_cost, show_reply, show_stream
    from deepthrift_router.cli._shared.connect import connect

    async with connect(place, output) as client:
        stream = client.stream(
            messages, mode=mode, max_tokens=max_tokens, temperature=temperature, seed=seed, effort=effort
        )
        try:
            reply = await show_stream(stream, output)
        except asyncio.CancelledError:
            show_cost(stream.snapshot(), output)
            raise
    show_reply(reply, output, beside)
