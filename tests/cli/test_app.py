"""The root command: help, exit codes, errors, and what it loads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from deepthrift.errors import (
    AuthenticationFailed,
    BudgetExceeded,
    ConfigurationError,
    ContextLengthExceeded,
    EngineCrashed,
    LedgerUnavailable,
    PriceNotFound,
    StreamInterrupted,
)
from deepthrift_pricing import Money
from deepthrift_router.cli._app import COMMANDS, cli
from deepthrift_router.cli._shared import exits as _exits
from tests.cli.conftest import Run


def test_help_lists_every_command_and_the_exit_codes(run: Run) -> None:
    ran = run("--help")
    assert ran.code == 0
    for name in COMMANDS:
        assert f"\n  {name}" in ran.out
    for code in ("0 ok", "1 failure", "2 wrong usage", "3 refused by a budget", "4 endpoint or engine failure"):
        assert code in ran.out
    assert max(len(line) for line in ran.out.splitlines()) <= 80


def test_no_arguments_show_the_help(run: Run) -> None:
    ran = run()
    assert (ran.code, ran.out) == (0, run("--help").out)


def commands(group: click.Group = cli, above: str = "") -> Iterator[str]:
    """Every command that does something, with the groups above it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}"


@pytest.mark.parametrize("name", sorted(commands()))
def test_each_command_has_help_with_an_example_and_json(run: Run, name: str) -> None:
    *groups, own = name.split()
    ran = run(*groups, own, "--help")
    assert ran.code == 0, ran.err
    assert f"deepthrift {name}" in ran.out
    assert "--json" in ran.out
    assert "xample" in ran.out + (run(*groups, "--help").out if groups else "")
    assert max(len(line) for line in ran.out.splitlines()) <= 80


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_list_says_what_the_module_has(name: str) -> None:
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command is not None
    assert command.name == name


def test_help_loads_neither_engine_nor_vocabulary_nor_command_modules() -> None:
    code = (
        "import sys; sys.argv = ['deepthrift', '--help']\n"
        "from deepthrift_router.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "some = {'xllamacpp', 'tiktoken', 'numpy', 'sklearn', 'httpx', 'deepthrift_router.evaluation'}\n"
        "heavy = some & set(sys.modules)\n"
        "heavy |= {name for name in sys.modules if name.startswith('deepthrift_router.cli._commands.')}\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_a_missing_extra_is_one_line_with_the_command_that_mends_it(missing: str) -> None:
    code = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, *rest: None if name == {missing!r} else find(name, *rest)\n"
        "from deepthrift_router.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert missing in done.stderr
    assert "pip install 'deepthrift[cli]'" in done.stderr


def test_commands_and_options_are_completed() -> None:
    for words, expected in (
        ("deepthrift sp", "plain,spend"),
        ("deepthrift spend --si", "plain,--since"),
        ("deepthrift engine pl", "plain,plan"),
        ("deepthrift engine some.gguf --slo", "plain,--slots"),
    ):
        environment = {
            "_DEEPTHRIFT_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        done = subprocess.run(
            [sys.executable, "-c", "from deepthrift_router.cli import main; main()"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **environment},
        )
        assert expected in done.stdout.splitlines(), done.stderr


def test_version(run: Run) -> None:
    from importlib.metadata import version

    assert run("--version").out == f"deepthrift {version('deepthrift')}\n"


def test_usage_errors_exit_with_2_and_say_which(run: Run) -> None:
    ran = run("nope")
    assert ran.code == 2
    assert ran.out == ""
    assert "No such command 'nope'" in ran.err
    ran = run("count", "--nope")
    assert ran.code == 2
    assert "--nope" in ran.err


def test_errors_are_json_when_asked(run: Run) -> None:
    ran = run("count", "--json", "--nope")
    assert ran.code == 2
    assert ran.err == ""
    assert ran.json["error"]["type"] == "NoSuchOption"
    assert ran.json["error"]["exit_code"] == 2


def test_json_after_two_dashes_is_text_and_not_an_option(run: Run) -> None:
    ran = run("count", "--nope", "--", "--json")
    assert ran.code == 2
    assert ran.out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BudgetExceeded("no room"), 3),
        (ConfigurationError("wrong"), 2),
        (ContextLengthExceeded("long"), 2),
        (AuthenticationFailed("key", status=401), 4),
        (StreamInterrupted("cut"), 4),
        (EngineCrashed("dead"), 4),
        (PriceNotFound("none"), 1),
        (LedgerUnavailable("full"), 1),
        (RuntimeError("a bug"), 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert _exits.exit_code(error) == code


def test_an_error_tells_what_was_spent(capsys: pytest.CaptureFixture[str]) -> None:
    error = StreamInterrupted("the stream broke", spend=Money.of("0.0012"), attempt_ids=("att-1",))
    assert _exits.report(error, as_json=False) == 4
    told = capsys.readouterr()
    assert told.out == ""
    assert "error: the stream broke" in told.err
    assert "0.0012 USD" in told.err
    assert "Traceback" not in told.err
    assert _exits.describe(error)["error"] == {
        "type": "StreamInterrupted",
        "message": "the stream broke",
        "exit_code": 4,
        "attempt_ids": ["att-1"],
        "spend": "0.0012",
    }
