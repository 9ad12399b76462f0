"""Serve a local model on this machine."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from deepthrift_router.cli._models.engine_plan import plan_command
from deepthrift_router.cli._shared.options import json_option

if TYPE_CHECKING:
    from deepthrift.local import Engine

KEY_VARIABLE: Final = "DEEPTHRIFT_ENGINE_KEY"

GROUP_EPILOG: Final = """\b
Examples:
  deepthrift engine
  deepthrift engine /data/model.gguf --port 8080
  deepthrift engine plan --model deepseek-v3.1

Without a command, or with a model in its place, it serves: `deepthrift engine serve --help` has the options.
"""

EPILOG: Final = """\b
Examples:
  deepthrift engine serve
  deepthrift engine --port 8080 --context 8192 --slots 2
  deepthrift engine /data/DeepSeek-V3.1-00001-of-00006.gguf
  deepthrift engine --embeddings

The key is taken from DEEPTHRIFT_ENGINE_KEY. Without it a random one is made, and kept while the engine runs in a file
that only you can read; it is never printed. The server listens on 127.0.0.1 only, unless --lan opens it to the network,
which needs DEEPTHRIFT_ENGINE_KEY. When the engine dies it is started again, up to 3 times within 5 minutes. Its log is
kept in engines/engine.log of the data directory, without prompts and keys, and never larger than 1 MB.
"""


class DefaultServeGroup(click.Group):
    """A group that takes whatever is none of its commands for arguments of `serve`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {*self.commands, *self.get_help_option_names(ctx)}
        named = args[0] in own if args else ctx.resilient_parsing  # a shell that completes the first word
        return super().parse_args(ctx, args if named else ["serve", *args])


@click.group("engine", cls=DefaultServeGroup, epilog=GROUP_EPILOG)
def command() -> None:
    """Serve a local model on this machine, or plan V3.1 beyond it."""


@command.command("serve", epilog=EPILOG)
@click.argument("model", required=False)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port.  [default: any free one]")
@click.option("--context", type=int, metavar="N", help="Tokens of context for each request.  [default: 4096]")
@click.option("--slots", type=int, default=1, metavar="N", help="Requests answered at the same time.  [default: 1]")
@click.option("--threads", type=int, metavar="N", help="Processor threads.  [default: one less than there are]")
@click.option(
    "--template", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A chat template of your own."
)
@click.option("--embeddings", is_flag=True, help="Also turn texts into vectors, at /v1/embeddings.")
@click.option("--lan", is_flag=True, help="Answer the whole network, unencrypted. Needs DEEPTHRIFT_ENGINE_KEY.")
@click.option("--verbose", is_flag=True, help="Show the engine's log; it is kept as well.")
@json_option
def serve_command(
    model: str | None,
    port: int,
    context: int | None,
    slots: int,
    threads: int | None,
    template: Path | None,
    embeddings: bool,
    lan: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Serve a local MODEL (a known name or a GGUF file) until Ctrl-C.

    It speaks the OpenAI API, for Deepthrift and for any other program on this machine. With --json, one line is
    written when it is ready.
    """
    from deepthrift.local import Engine, serve
    from deepthrift.shared.engine import LogFile
    from deepthrift.shared.files import home
    from deepthrift_router.cli._models.loading import loading
    from deepthrift_router.cli._shared.connect import fetch
    from deepthrift_router.cli._shared.output import Output

    output = Output(as_json=as_json)
    key = os.environ.get(KEY_VARIABLE) or None
    if lan and not key:
        raise click.UsageError(f"--lan opens the engine to the network, so it needs a key: set {KEY_VARIABLE}")
    kept_log = LogFile(home() / "engines" / "engine.log")

    def told(line: str) -> None:
        if verbose:
            output.note(line)
        kept_log(line)

    engine = Engine(
        model,
        port=port,
        key=key,
        context=context,
        slots=slots,
        threads=threads,
        template=template,
        embeddings=embeddings,
        lan=lan,
        on_progress=loading(output),
        on_crash=lambda error: output.note(error.message),
        log=told,
    )
    fetch(model, output)
    with contextlib.ExitStack() as stack:

        def ready(running: Engine) -> None:
            kept = None if key else stack.enter_context(_key_file(running))
            if as_json:
                output.line(
                    {
                        "url": f"{running.url}/v1",
                        "model": running.model,
                        "context": running.context,
                        "slots": running.slots,
                        "lan": lan,
                        "pid": running.pid,
                        "key_file": kept,
                        "key_variable": None if kept else KEY_VARIABLE,
                    }
                )
                return
            secret = f'"$(cat {shlex.quote(str(kept))})"' if kept else f'"${KEY_VARIABLE}"'
            output.print(f"{running.model} answers at {running.url}/v1", style="bold")
            output.print(f"{running.context:,} tokens of context, {running.slots} at a time. Ctrl-C stops it.")
            if lan:
                port = running.url.rpartition(":")[2]
                output.print(f"Other machines reach it at http://{socket.gethostname()}:{port}/v1", whole=True)
            output.print("\nIn another terminal:")
            output.print(f"  export DEEPTHRIFT_URL={running.url}/v1")
            output.print(f"  export DEEPTHRIFT_API_KEY={secret}", whole=True)
            output.print('  deepthrift ask --prices brief "What is the capital of France?"')

        output.note("starting the engine…")
        serve(engine, ready)
    output.note("stopped")


command.add_command(plan_command)


@contextlib.contextmanager
def _key_file(engine: Engine) -> Generator[Path]:
    """The engine's key in a file that only this user can read, for as long as it runs."""
    from deepthrift.shared.files import home

    folder = home() / "engines"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{engine.url.rpartition(':')[2]}.key"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(engine.key)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
