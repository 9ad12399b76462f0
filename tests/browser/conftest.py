"""One browser for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browsers import running_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real one. Playwright keeps an event loop running in this thread, so it ends with its module."""
    with running_browser() as running:
        yield running
