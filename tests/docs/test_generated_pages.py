"""The pages that follow from the code say what the code says now."""

from __future__ import annotations

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
