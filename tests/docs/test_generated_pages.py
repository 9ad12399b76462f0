"""The pages that follow from the code say what the code says now."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools.reference import DOCS, FILES, public_modules


@pytest.mark.parametrize("path", sorted(FILES), ids=lambda path: path.name)
def test_page_is_up_to_date(path: Path) -> None:
    """When this fails, the public surface has changed: `make docs` writes it down, the diff shows it."""
    assert path.read_text("utf-8") == FILES[path]()


def test_reference_lists_every_public_module() -> None:
    text = (DOCS / "reference.md").read_text("utf-8")
    modules = list(public_modules())
    assert {"deepthrift", "deepthrift_pricing", "deepthrift_router"} <= set(modules)
    assert [f"## `{module}`" in text for module in modules] == [True] * len(modules)


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of its own needs a pseudo-terminal")
def test_pictures_of_terminals_show_what_commands_write_now() -> None:
    """When this fails, a command writes something else: `python tools/screenshots.py` makes its picture anew."""
    from tools.screenshots import IMAGES, terminals

    made = terminals()
    assert made
    assert [name for name, text in made.items() if (IMAGES / name).read_text("utf-8") != text] == []
