"""One browser for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browsers import running_browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real one."""
    with running_browser() as running:
        yield running
