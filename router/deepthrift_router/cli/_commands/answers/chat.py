"""Hold a conversation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from deepthrift_router.cli._shared.options import EndpointOptions, endpoint_options, json_option

if TYPE_CHECKING:
    from deepthrift import SystemMessage

EPILOG = """\b
Examples:
  deepthrift chat
  deepthrift chat --mode thinking --system "Answer in one sentence."
  deepthrift chat --resume talk.json

\b
In the conversation:
  /mode standard|thinking|auto   switch the mode      /cost   spend so far
  /save FILE   keep the conversation as JSON          /reset  forget it
  /undo        forget the last question and answer
  /help        this list                            /quit   leave (or Ctrl-D)
  \"\"\"          starts and ends a message of several lines
  Ctrl-C       stops the answer, not the conversation

Without a terminal the exit code is that of the last answer. Every request carries the tag chat=ID in the ledger.

Nothing is kept unless you say so: a conversation by /save; with --history the lines that you type, for the arrow keys
of the next time: the last 1,000, in a file that only you may read (chat_history in the data directory).
"""


@click.command("chat", epilog=EPILOG)
@click.option(
    "--mode",
    type=click.Choice(["standard", "thinking", "auto"]),
    default="standard",
    show_default=True,
    help="The mode to begin with; auto lets the router decide.",
)
@click.option("--effort", metavar="LEVEL|N", help="How deeply to think: a level of the host, or a number of tokens.")
@click.option("--system", metavar="TEXT", help="Instructions for the model.")
@click.option(
    "--resume",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Go on with a conversation saved by /save.",
)
@click.option(
    "--max-tokens", type=click.IntRange(min=1), metavar="N", help="The most that may be generated for one answer."
)
@click.option(
    "--history",
    "keeping",
    is_flag=True,
    envvar="DEEPTHRIFT_HISTORY",
    help="Keep the lines that you type for the arrow keys of the next time.",
)
@endpoint_options
@json_option
def command(
    mode: Literal["standard", "thinking", "auto"],
    effort: str | None,
    system: str | None,
    resume: Path | None,
    max_tokens: int | None,
    keeping: bool,
    endpoint: EndpointOptions,
    as_json: bool,
) -> int:
    """Hold a conversation: streamed answers, dimmed reasoning, a cost line after each.

    With --json, questions are read from standard input line by line, and every answer is one line of JSON.
    """
    from deepthrift_router.cli._answers.chatting import Chat, read_conversation
    from deepthrift_router.cli._shared.connect import prepare
    from deepthrift_router.cli._shared.output import Output
    from deepthrift_router.cli._shared.paths import chat_history

    messages = read_conversation(resume) if resume else []
    if system:
        instructions: SystemMessage = {"role": "system", "content": system}
        messages = [instructions, *(each for each in messages if each["role"] != "system")]
    output = Output(as_json=as_json)
    return Chat(
        prepare(endpoint, output),
        output,
        mode=mode,
        messages=messages,
        max_tokens=max_tokens,
        effort=int(effort) if effort is not None and effort.isdecimal() else effort,
        history=chat_history() if keeping else None,
        saved=resume,
    ).run()
