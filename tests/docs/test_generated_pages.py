"""The pages that follow from the code say what the code says now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.reference import PAGES, public_modules

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", sorted(PAGES))
def test_page_is_up_to_date(name: str) -> None:
    """When this fails, the public surface has changed: `make docs` writes it down, the diff shows it."""
    assert (DOCS / name).read_text("utf-8") == PAGES[name]()


def test_reference_lists_every_public_module() -> None:
    text = (DOCS / "reference.md").read_text("utf-8")
    modules = list(public_modules())
    assert {"deepthrift", "deepthrift_pricing", "deepthrift_router"} <= set(modules)
    assert [f"## `{module}`" in text for module in modules] == [True] * len(modules)
