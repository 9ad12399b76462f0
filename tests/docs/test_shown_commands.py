"""Every `deepthrift …` that README and docs show is taken by the command line, and those that can run here do."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import click
import pytest

from tests.cli.conftest import Run, run
from tests.cli.test_labels import recorded
from tests.docs.answers import ROUTES, answer
from tests.docs.test_documented_code import TITLED
from tests.support.bill_server import BillServer

__all__ = ["run"]  # the fixture

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(?:text|console)\n(?P<text>.*?)^```", re.M | re.S)
LINE = re.compile(r"^ *(?:\$ )?(deepthrift [a-z].*)$", re.M)
INLINE = re.compile(r"`(deepthrift [a-z][^`]*)`")
FILE = re.compile(r"^[\w-]+\.(?:csv|gguf|json|jsonl|toml|txt)$")
URL = re.compile(r"https?://\S+")
INCOMPLETE = ("Missing argument", "Missing option", "requires an argument")
"""What prose may leave out where it only names a command."""

ELSEWHERE = {
    "ask --local": "a model that the page has the reader fetch",
    "batch cancel": "a batch service; tests/cli/test_batch.py has one",
    "batch fetch": "the same",
    "batch status": "the same",
    "batch submit": "the same",
    "batch run --on": "a cluster; tests/sdk/batch/test_ray_cluster.py has one",
    "dashboard": "serves until it is ended; tests/browser/test_dashboard.py looks at it",
    "demo": "the bundled model and half a minute; tests/cli/test_demo.py",
    "engine": "serves, unless it plans, until it is ended; tests/cli/test_engine.py",
    "models": "the network, or a model of the reader's; tests/sdk/local/",
}
"""Commands that this file does not run, with what they need, and where they are run instead."""


def words_of(line: str) -> tuple[str, ...]:
    """A shown command without its comment, and without what follows in the shell."""
    words = shlex.split(line, comments=True)[1:]
    return tuple(words[: words.index("|")] if "|" in words else words)


def shown(page: Path) -> list[tuple[str, ...]]:
    """The commands in the blocks of a page."""
    blocks = [re.sub(r"\\\n\s*", " ", block["text"]) for block in BLOCK.finditer(page.read_text("utf-8"))]
    return [words_of(line) for block in blocks for line in LINE.findall(block)]


def mentioned(page: Path) -> list[tuple[str, ...]]:
    """The commands named in the prose of a page."""
    prose = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    return [words_of(" ".join(line.split())) for line in INLINE.findall(prose)]


def runs_here(words: tuple[str, ...]) -> bool:
    """Whether a server on loopback is all that a command needs."""
    if words[:2] == ("engine", "plan"):
        return True
    return not any(set(name.split()) <= set(words) and words[0] == name.split()[0] for name in ELSEWHERE)


@pytest.mark.parametrize("page", PAGES, ids=lambda each: each.name)
def test_the_command_line_takes_what_is_shown(
    page: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is parsed to the end, with files in place of those that it names, and not begun."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(click.Command, "invoke", lambda *_: None)
    in_blocks, in_prose = shown(page), mentioned(page)
    refused: list[str] = []
    for words in dict.fromkeys(in_blocks + in_prose):
        for name in filter(FILE.match, words):
            (tmp_path / name).touch()
        ran = run(*words)
        named = words in in_prose and any(phrase in ran.err for phrase in INCOMPLETE)
        if ran.code != 0 and not named:
            refused.append(f"{shlex.join(words)}: {ran.err}")
    assert refused == []


@pytest.mark.parametrize(
    "page", [each for each in PAGES if each.stem != "cli" and shown(each)], ids=lambda each: each.name
)
def test_what_is_shown_runs(page: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order, as a reader of the page would, against a server on loopback in place of each endpoint."""
    monkeypatch.chdir(tmp_path)
    commands = list(dict.fromkeys(filter(runs_here, shown(page))))
    written = {name for words in commands for option, name in pairwise(words) if option.startswith("--write")}
    for source in PAGES:
        for found in TITLED.finditer(source.read_text("utf-8")):
            if found["name"] not in written:
                (tmp_path / found["name"]).write_text(found["text"], "utf-8")
    recorded(tmp_path / "outcomes.jsonl", 200)
    (tmp_path / "october.csv").write_text("date,amount\n2026-10-01,0\n", "utf-8")
    with BillServer(answer, routes=ROUTES) as server:
        monkeypatch.setenv("DEEPTHRIFT_URL", server.url)
        monkeypatch.setenv("DEEPTHRIFT_HOST", "deepseek")
        monkeypatch.setenv("DEEPTHRIFT_PRICES", "brief")
        monkeypatch.setenv("DEEPTHRIFT_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-nobody")
        failed: list[str] = []
        for words in commands:
            ran = run(*(URL.sub(server.url, word) for word in words), input="")
            if ran.code != 0:
                failed.append(f"{shlex.join(words)}: {ran.err}")
    assert failed == []
