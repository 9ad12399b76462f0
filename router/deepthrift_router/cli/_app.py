"""The root command: the list of commands, loaded lazily, and the one place where errors become exit codes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from deepthrift_router.cli._commands import commands, module_of
from deepthrift_router.cli._shared.exits import INTERRUPTED, OK, report

COMMANDS: Final = commands()
"""Every command with one line on what it does."""

EPILOG: Final = """\b
Start here:
  deepthrift demo
  deepthrift ask "What is the capital of France?"

\b
Exit codes:
  0 ok · 1 failure · 2 wrong usage or input · 3 refused by a budget
  4 endpoint or engine failure · 130 interrupted

\b
Environment:
  DEEPTHRIFT_URL, _HOST, _MODEL, _API_KEY, _PRICES  the endpoint to use
  OPENAI_BASE_URL with OPENAI_API_KEY, or DEEPSEEK_API_KEY, are used too
  DEEPTHRIFT_HOME  where the ledger and the budgets are kept
  NO_COLOR         no colour

\b
Completion of commands and options (bash; zsh and fish alike):
  eval "$(_DEEPTHRIFT_COMPLETE=bash_source deepthrift)"

Without an endpoint, the embedded engine answers. Keys come from the environment or a prompt, never from arguments.
"""


class Root(click.Group):
    """The root group: imports a command's module when the command is used, never before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(module_of(cmd_name))
        command = getattr(module, "command", None)
        assert isinstance(command, click.Command)  # noqa: S101 - each module names its own `command`
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, so that help imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        argv = list(sys.argv[1:] if args is None else args)
        as_json = "--json" in (argv[: argv.index("--")] if "--" in argv else argv)
        try:
            outcome = super().main(
                argv or ["--help"], prog_name, complete_var, False, windows_expand_args=windows_expand_args, **extra
            )
            code = outcome if isinstance(outcome, int) else OK
        except (click.Abort, KeyboardInterrupt):
            code = INTERRUPTED
        except Exception as error:
            code = report(error, as_json=as_json)
        if standalone_mode:
            sys.exit(code)
        return code


@click.command(
    cls=Root, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80}
)
@click.version_option(package_name="deepthrift", message="%(prog)s %(version)s")
def cli() -> None:
    """Deep thinking, on a thrifty budget.

    DeepSeek V3.1 with a price on every call, a budget that holds, and thinking only when it pays. Every command takes
    --json.
    """
