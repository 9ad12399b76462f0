"""A public name that goes away, or takes other arguments, is noticed, and must be told in the changelog."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools.api_compat import breakages, last_release, unreleased, untold

pytestmark = pytest.mark.slow

BEFORE = '''
"""A package."""
__all__ = ["call", "gone"]
def call(text: str, *, mode: str = "standard") -> str:
    """Calls."""
    return text
def gone() -> None:
    """Goes."""
'''
AFTER = '''
"""A package."""
__all__ = ["call", "new"]
def call(text: str, limit: int, *, mode: str = "standard") -> str:
    """Calls."""
    return text
def new() -> None:
    """Comes."""
'''


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=someone", "-c", "user.email=someone@example.com", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def test_breakages_since_the_last_release_must_be_told(tmp_path: Path) -> None:
    package = tmp_path / "pricing" / "deepthrift_pricing"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(BEFORE)
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    assert last_release(tmp_path) is None
    git(tmp_path, "tag", "v0.1.0")
    assert last_release(tmp_path) == "v0.1.0"
    assert list(breakages(tmp_path, "v0.1.0")) == []
    (package / "__init__.py").write_text(AFTER)
    found = list(breakages(tmp_path, "v0.1.0"))
    assert len(untold(found, "")) == 2
    [left] = untold(found, "`gone` is gone.")
    assert "limit" in left
    assert untold(found, "`gone` is gone; `call` takes a limit.") == []


def test_only_the_unreleased_part_of_the_changelog_counts() -> None:
    text = "# Changelog\n\n## Unreleased\n\nnew\n\n## 0.1.0\n\nold\n"
    assert unreleased(text).strip() == "new"
    assert unreleased("# Changelog\n\n## 0.1.0\n\nold\n") == ""
