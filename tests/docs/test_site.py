"""The documentation site builds, every internal link leads somewhere, and it fetches nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
LOADED = re.compile(r'<(?:script|img|iframe|link rel="stylesheet")[^>]*?(?:src|href)="([^"]*)"')


def test_it_builds_with_every_link_and_loads_only_itself(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text("utf-8") for path in tmp_path.rglob("*.html")}
    assert {"index.html", "budgets.html", "changelog.html", "api/deepthrift.html"} <= set(pages)
    assert 'id="deepthrift.AsyncClient.chat"' in pages["api/deepthrift.html"]
    loaded = {link for page in pages.values() for link in LOADED.findall(page)}
    assert loaded
    assert not [link for link in loaded if link.startswith(("http:", "https:", "//"))]
    written = [page for page in (ROOT / "docs").rglob("*.md") if page.name != "index.md"]
    missing = [page.name for page in written if f"{page.relative_to(ROOT / 'docs').with_suffix('.html')}" not in pages]
    assert missing == []
