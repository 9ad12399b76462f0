"""Every screen at 80 columns, without colour where none is wanted; and the completion that bash really does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.processes import environment
from tests.cli.test_chat import Terminal
from tests.cli.test_labels import recorded
from tests.router.support import by_mode
from tests.sdk.batch.files import row, write_rows
from tests.support.bill_server import Answer, BillServer

RATES = ("--prices", "official-2025-09-05")
COLOUR = re.compile(r"\x1b\[(?:3[0-7]|38|4[0-7]|48|9[0-7])[;m]")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with files to work on, and an endpoint."""
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "in.jsonl", [row("a"), row("b", mode="thinking")])
    recorded(tmp_path / "outcomes.jsonl", 120)
    with BillServer(by_mode(Answer("4"), Answer("The answer is 4.", reasoning="Two and two."))) as server:
        monkeypatch.setenv("DEEPTHRIFT_URL", server.url)
        monkeypatch.setenv("DEEPTHRIFT_HOST", "deepseek")
        yield


@pytest.mark.slow
@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_screens_are_80_columns_wide_and_have_no_colour(
    plain: dict[str, str], place: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in plain.items():
        monkeypatch.setenv(name, value)
    commands = (
        ("ask", "What is 2 + 2?", "--mode", "thinking", *RATES),
        ("batch", "run", "in.jsonl", "out.jsonl", *RATES),
        ("spend", "--report"),
        ("route", "What is 2 + 2?", *RATES),
        ("route", "--run", "What is 2 + 2?", *RATES),
        ("evaluate", "outcomes.jsonl"),
        ("models", "choices"),
        ("plan", "--requests", "1000000", "--prompt", "2000", "--completion", "500", "--gpu-hour", "2"),
        ("doctor", "--offline"),
    )
    for command in commands if "TERM" in plain else commands[:3]:
        with Terminal(*command, variables=plain) as terminal:
            assert terminal.end() == 0, terminal.screen
        assert not COLOUR.search(terminal.raw), command
        if "TERM" in plain:
            assert "\x1b" not in terminal.raw, command
        # What comes after a carriage return is written over what was before it.
        lines = [line.rpartition("\r")[2] for line in terminal.unescaped.replace("\r\n", "\n").split("\n")]
        wide = [line for line in lines if len(line) > 80 and os.environ["DEEPTHRIFT_HOME"] not in line]
        assert wide == [], command  # paths are never broken


def complete(*words: str) -> list[str]:
    """What bash offers for the last word of a line."""
    script = (
        'eval "$(_DEEPTHRIFT_COMPLETE=bash_source deepthrift)"\n'
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _deepthrift_completion deepthrift\n'
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script, "bash", *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment({"PATH": path}),
    )
    return done.stdout.split()


@pytest.mark.slow
def test_bash_completes_commands_options_and_choices() -> None:
    if sys.platform == "win32" or not (Path(sys.executable).parent / "deepthrift").exists():
        pytest.skip("the command is not installed beside this Python, or there is no bash")
    assert complete("deepthrift", "b") == ["batch", "budget"]
    assert complete("deepthrift", "batch", "ru") == ["run"]
    assert complete("deepthrift", "batch", "run", "--retry") == ["--retry-failed", "--retry-unanswered"]
    assert complete("deepthrift", "ask", "--mode", "th") == ["thinking"]
