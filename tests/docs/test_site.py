"""The documentation site builds, every internal link leads somewhere, it fetches nothing, and fits a phone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.browsers import running_browser

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("site")]

ROOT = Path(__file__).resolve().parents[2]
LOADED = re.compile(r'<(?:script|img|iframe|link rel="stylesheet")[^>]*?(?:src|href)="([^"]*)"')

BROKEN = """() => [
  ...[...document.images].filter(each => !each.naturalWidth).map(each => `no picture ${each.src}`),
  ...(document.documentElement.scrollWidth > document.documentElement.clientWidth ? ["wider than the screen"] : []),
]"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_it_builds_with_every_link_and_loads_only_itself(site: Path) -> None:
    pages = {path.relative_to(site).as_posix(): path.read_text("utf-8") for path in site.rglob("*.html")}
    assert {"index.html", "budgets.html", "changelog.html", "api/deepthrift.html"} <= set(pages)
    assert 'id="deepthrift.AsyncClient.chat"' in pages["api/deepthrift.html"]
    loaded = {link for page in pages.values() for link in LOADED.findall(page)}
    assert loaded
    assert not [link for link in loaded if link.startswith(("http:", "https:", "//"))]
    written = [page for page in (ROOT / "docs").rglob("*.md") if page.name != "index.md"]
    missing = [page.name for page in written if f"{page.relative_to(ROOT / 'docs').with_suffix('.html')}" not in pages]
    assert missing == []


def test_every_written_page_fits_a_phone_and_shows_its_pictures(site: Path) -> None:
    """In a real browser; what is too wide scrolls in a frame of its own."""
    pages = [path for path in sorted(site.rglob("*.html")) if path.parent.name != "api" and path.name != "404.html"]
    assert len(pages) > 40
    with running_browser() as browser:
        screen = browser.new_page(viewport={"width": 360, "height": 800})
        broken: dict[str, list[str]] = {}
        for path in pages:
            screen.goto(path.as_uri())
            if found := screen.evaluate(BROKEN):
                broken[path.name] = found
    assert broken == {}
