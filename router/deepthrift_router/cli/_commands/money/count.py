"""Count tokens exactly as V3.1 does."""

from __future__ import annotations

import json
import sys
from typing import IO, TYPE_CHECKING, cast

import click

from deepthrift_router.cli._shared.options import json_option, standard_input

if TYPE_CHECKING:
    from deepthrift_pricing import Mode

MODES: tuple[Mode, ...] = ("standard", "thinking")

EPILOG = """\b
Examples:
  deepthrift count "Hello, world!"
  deepthrift count --file prompt.txt
  cat notes.md | deepthrift count
  deepthrift count --messages conversation.json --json
"""


@click.command("count", epilog=EPILOG)
@click.argument("text", required=False)
@click.option("--file", "file", type=click.File("rb"), help="Count the text of a file, byte for byte.")
@click.option(
    "--messages",
    type=click.File("rb"),
    help='Count a conversation: a JSON list of messages, or {"messages": […], "tools": […]}.',
)
@json_option
def command(text: str | None, file: IO[bytes] | None, messages: IO[bytes] | None, as_json: bool) -> None:
    """Count tokens exactly as DeepSeek V3.1 does, without a network.

    TEXT may be - or left out to read standard input. A prompt is counted as the endpoint would bill it: with V3.1's
    frame of role and mode tokens.
    """
    if sum(source is not None for source in (text, file, messages)) > 1:
        raise click.UsageError("give one of TEXT, --file and --messages")
    conversation, tools = _conversation(messages) if messages else (None, None)
    if conversation is None:
        text = _read(text, file)
    from deepthrift_pricing import tokens
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    prompt = conversation if conversation is not None else [{"role": "user", "content": text}]
    counts = {mode: tokens.count_messages(prompt, mode=mode, tools=tools) for mode in MODES}
    alone = None if text is None else tokens.count_text(text)
    if as_json:
        output.document(
            {"text_tokens": alone, "prompt_tokens": counts, "messages": len(prompt), "tools": len(tools or [])}
        )
        return
    if text is not None:
        output.print(f"{alone:,} tokens in {len(text):,} characters")
        what = "as one user message"
    else:
        what = _plural(len(prompt), "message") + (f" and {_plural(len(tools), 'tool')}" if tools else "")
    output.print(
        f"{what}: {counts['standard']:,} prompt tokens in standard mode, {counts['thinking']:,} in thinking mode"
    )


def _plural(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _read(text: str | None, file: IO[bytes] | None) -> str:
    if file is not None:
        try:
            return file.read().decode()
        except UnicodeDecodeError as error:
            raise click.BadParameter(f"{file.name} is no text in UTF-8: {error.reason}", param_hint="--file") from None
    if text is not None and text != "-":
        return text
    if text is None and sys.stdin.isatty():
        raise click.UsageError("nothing to count: give TEXT, --file or --messages, or pipe text in")
    return standard_input()


def _conversation(file: IO[bytes]) -> tuple[list[dict[str, object]], list[dict[str, object]] | None]:
    try:
        value: object = json.loads(file.read())  # a byte order mark says how the text is encoded
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"{file.name} is not JSON: {error}", param_hint="--messages") from None
    found: object = value
    tools: object = None
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        found, tools = fields.get("messages"), fields.get("tools")
    if not isinstance(found, list) or not found:
        raise click.BadParameter(f"{file.name} holds no list of messages", param_hint="--messages")
    for message in cast("list[object]", found):
        if not isinstance(message, dict) or "role" not in message:
            raise click.BadParameter(f"{file.name}: {message!r} is not a message with a role", param_hint="--messages")
    if tools is not None and not isinstance(tools, list):
        raise click.BadParameter(f"{file.name}: tools is not a list", param_hint="--messages")
    return cast("list[dict[str, object]]", found), cast("list[dict[str, object]] | None", tools)
