"""Every Python example in the README, the docs and the docstrings runs and prints what it says it prints."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import sys
from pathlib import Path

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples

from tests.docs.answers import ENDPOINT, answer
from tests.support.bill_server import BillServer

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs"]
SOURCES = [ROOT / "sdk", ROOT / "router", ROOT / "pricing"]
PACKAGES = ("deepthrift", "deepthrift_pricing", "deepthrift_router")
TITLED = re.compile(r'^```\w+ title="(?P<name>[\w.-]+)"\n(?P<text>.*?)^```$', re.M | re.S)


def python_examples() -> list[CodeExample]:
    found = [example for example in find_examples(*PAGES, *SOURCES) if example.prefix.startswith(("py", "python"))]
    return sorted(found, key=lambda example: (str(example.path), example.start_line))


EXAMPLES = python_examples()


def name_of(example: CodeExample) -> str:
    return f"{example.path.relative_to(ROOT)}:{example.start_line}"


def files_beside(example: CodeExample, folder: Path) -> None:
    """Write the files that a page shows with a title, such as a price list, where its examples look for them."""
    for shown in TITLED.finditer(example.path.read_text("utf-8")):
        (folder / shown["name"]).write_text(shown["text"], "utf-8")


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_example_runs(
    example: CodeExample, eval_example: EvalExample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comments of the form `#> …` below a print are checked against what was printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    files_beside(example, tmp_path)
    eval_example.set_config(line_length=120, target_version="py311")
    with BillServer(answer) as server:
        example.source = example.source.replace(ENDPOINT, server.url)
        eval_example.run_print_check(example)


def documented_modules() -> list[str]:
    names: list[str] = []
    for package in PACKAGES:
        folder = importlib.import_module(package).__path__
        names += [package, *(found.name for found in pkgutil.walk_packages(folder, f"{package}."))]
    return [name for name in names if not name.endswith("__main__")]


@pytest.mark.parametrize("name", documented_modules())
def test_doctests(name: str) -> None:
    """Interactive examples (`>>>`) in docstrings."""
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0


def test_there_are_examples() -> None:
    pages = {example.path.name for example in EXAMPLES}
    assert "README.md" in pages
