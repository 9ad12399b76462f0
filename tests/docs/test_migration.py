"""The page on migration lists every public name of 0.1.0 that is gone, and what it is called now."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(__file__).resolve().parent
PAGE: Final = (FOLDER.parents[1] / "docs" / "migration.md").read_text("utf-8")
NAMES, TYPES = PAGE.partition("\n## Names\n")[2].split("\n## ")
ROWS: Final = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", NAMES, re.M)
NAMED: Final = re.findall(r"\| `([\w.]+)` \|$", TYPES, re.M)
LINE: Final = re.compile(r"(?P<name>[\w.]+)(?:\((?P<parameters>[\w ]*)\)|: (?P<members>[\w ]+))?$")
OLD: Final = [
    match for line in (FOLDER / "public_0.1.0.txt").read_text("utf-8").splitlines() if (match := LINE.match(line))
]
"""Each name with the parameters of a function, or the members of a class."""


def exists(name: str) -> bool:
    """Whether there is a module, a public name of one, or a parameter `module.function(parameter=)`."""
    name, _, parameter = name.rstrip("=)").partition("(")
    module, _, last = name.rpartition(".")
    try:
        found: object = importlib.import_module(module)
    except ModuleNotFoundError:
        return False
    if not hasattr(found, last):
        return parameter == "" and _is_module(name)
    found = getattr(found, last)
    return not parameter or (callable(found) and parameter in inspect.signature(found).parameters)


def _is_module(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return False
    return True


def test_the_page_has_rows() -> None:
    assert len(ROWS) >= 4
    assert len(NAMED) >= 7
    assert len(OLD) > 300


@pytest.mark.parametrize(("old", "new"), ROWS, ids=[old for old, _ in ROWS])
def test_the_old_name_is_gone_and_the_new_one_is_there(old: str, new: str) -> None:
    assert not exists(old)
    assert exists(new)


@pytest.mark.parametrize("name", NAMED)
def test_the_type_is_there(name: str) -> None:
    assert exists(name)


def test_no_name_that_is_gone_is_missing() -> None:
    listed = {old for old, _ in ROWS}
    missing: list[str] = []
    for match in OLD:
        name = match["name"]
        if not exists(name):
            missing += [] if name in listed else [name]
            continue
        module, _, last = name.rpartition(".")
        found = getattr(importlib.import_module(module), last)
        annotations = {
            field for base in getattr(found, "__mro__", ()) for field in getattr(base, "__annotations__", {})
        }
        for member in (match["members"] or "").split():
            if not hasattr(found, member) and member not in annotations:
                missing.append(f"{name}.{member}")
        if match["parameters"] is not None:
            parameters = inspect.signature(found).parameters
            gone = set(match["parameters"].split()) - set(parameters)
            missing += [f"{name}({each}=)" for each in gone if f"{name}({each}=)" not in listed]
    assert missing == []
