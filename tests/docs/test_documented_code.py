"""Every Python example in the README, the docs and the docstrings runs and prints what it says it prints."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import importlib
import inspect
import io
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

from tests.docs.answers import ENDPOINT, ROUTES, answer
from tests.sdk.batch.fake_ray import FakeCluster
from tests.support.bill_server import BillServer
from tests.support.databases import postgres_url
from tests.support.extras import import_module
from tests.support.tiny_gguf import tiny_gguf

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("deepthrift", "deepthrift_pricing", "deepthrift_router")
TITLED = re.compile(r'^```\w+ title="(?P<name>[\w.-]+)"\n(?P<text>.*?)^```$', re.M | re.S)
MODEL = "DeepSeek-V3.1.gguf"
"""Examples on the engine name this file; the tiny model in V3.1's architecture lies there."""
DATABASE = "postgresql://user@host/database"
"""In place of this one, examples get a new schema in the PostgreSQL of the tests."""
PRINTED = re.compile(r"^\s*# ?> ?(.*)$", re.M)


def run(code: str, path: str, line: int) -> str | None:
    """Run an example that begins below `line`, top-level `await` allowed; how its output differs, or `None`."""
    # Blank lines in front make the line numbers of tracebacks those of the page.
    program = compile("\n" * line + code, path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        running = eval(program, {"__name__": "__main__"})
        if inspect.iscoroutine(running):
            asyncio.run(running)
    shown = PRINTED.findall(code)
    got = [line.rstrip() for line in printed.getvalue().splitlines()]
    return f"shown:   {shown}\nprinted: {got}" if shown and shown != got else None


SYBIL = Sybil([CodeBlockParser("python", lambda example: run(str(example.parsed), example.path, example.line))])


def examples() -> Iterator[Example]:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    sources = [path for folder in ("sdk", "router", "pricing") for path in sorted((ROOT / folder).rglob("*.py"))]
    for path in [*pages, *sources]:
        yield from SYBIL.parse(path).examples()


EXAMPLES = list(examples())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: f"{Path(each.path).relative_to(ROOT)}:{each.line}")
def test_example_runs(example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments of the form `#> …`, if there are any, are all that the example prints."""
    monkeypatch.chdir(tmp_path)
    for page in (ROOT / "docs" / "batch.md", Path(example.path)):  # the batch of the one is read on others
        for shown in TITLED.finditer(page.read_text("utf-8")):
            (tmp_path / shown["name"]).write_text(shown["text"], "utf-8")
    code = str(example.parsed)
    if MODEL in code:
        (tmp_path / MODEL).symlink_to(tiny_gguf("answer"))
    with contextlib.ExitStack() as around:
        if DATABASE in code:
            code = code.replace(DATABASE, around.enter_context(postgres_url()))
        if "ray://" in code:
            FakeCluster(2).put_in_place(monkeypatch)
        server = around.enter_context(BillServer(answer, routes=ROUTES))
        problem = run(code.replace(ENDPOINT, server.url), example.path, example.line)
    assert problem is None, problem


def test_the_readme_has_examples() -> None:
    assert "README.md" in {Path(example.path).name for example in EXAMPLES}


def test_a_wrong_output_is_noticed() -> None:
    assert run("print(1 + 1)\n#> 2", "page.md", 1) is None
    assert run("print(1 + 1)\n#> 3", "page.md", 1) == "shown:   ['3']\nprinted: ['2']"
    assert run("import asyncio\nprint(await asyncio.sleep(0, 7))\n#> 7", "page.md", 1) is None


def documented_modules() -> list[str]:
    names: list[str] = []
    for package in PACKAGES:
        folder = importlib.import_module(package).__path__
        names += [package, *(found.name for found in pkgutil.walk_packages(folder, f"{package}."))]
    return [name for name in names if not name.endswith("__main__")]


@pytest.mark.parametrize("name", documented_modules())
def test_doctests(name: str) -> None:
    """Interactive examples (`>>>`) in docstrings."""
    result = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0
