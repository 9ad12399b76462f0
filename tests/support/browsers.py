"""A real browser: Debian's Chromium, or the one that `DEEPTHRIFT_TEST_CHROMIUM` names, driven by Playwright."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_QUIET = ("--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")


def chromium() -> str:
    """The browser's program. Without one the test is skipped; in continuous integration (`CI=true`) it fails."""
    found = os.environ.get("DEEPTHRIFT_TEST_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        missing = "no Chromium at hand: apt-get install chromium, or name one in DEEPTHRIFT_TEST_CHROMIUM"
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """A browser for several tests."""
    program = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*_QUIET], chromium_sandbox=False)
        try:
            yield browser
        finally:
            browser.close()
