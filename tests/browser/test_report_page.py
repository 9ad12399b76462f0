"""The report page in a real browser: drawn, readable, reachable by keyboard, on a desk, a phone and paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from deepthrift_pricing.reports.page import report_page, write_page
from tests.support.traffic import PRICES, Traffic

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    traffic = Traffic()
    traffic.answers(60)
    write_page(report_page(traffic.ledger, until=traffic.now, prices=PRICES), path)
    traffic.ledger.close()
    return path


@pytest.fixture
def page(browser: Browser, file: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page, opened offline; anything that it loads or complains of fails the test."""
    scheme: Literal["light", "dark"] = getattr(request, "param", "light")
    context = browser.new_context(color_scheme=scheme, offline=True)
    opened = context.new_page()
    trouble: list[str] = []
    opened.on("console", lambda message: trouble.append(message.text))
    opened.on("pageerror", lambda error: trouble.append(str(error)))
    opened.on("request", lambda sent: sent.url.startswith("file:") or trouble.append(sent.url))
    opened.goto(file.as_uri())
    yield opened
    context.close()
    assert trouble == []


@pytest.mark.parametrize("page", ["light", "dark"], indirect=True)
@pytest.mark.parametrize("width", [1100, 375])
def test_it_is_accessible_in_light_and_dark_on_a_desk_and_a_phone(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for summary in page.locator("summary").all():
        summary.click()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow == 0, "the page itself never scrolls sideways"


def test_figures_change_colour_with_the_page_and_size_with_the_screen(page: Page) -> None:
    bar = "getComputedStyle(document.querySelector('.wide svg path[style*=\"--standard\"]')).fill"
    light = page.evaluate(bar)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(bar) != light
    wide, narrow = page.locator(".wide svg").first, page.locator(".narrow svg").first
    expect(wide).to_be_visible()
    expect(narrow).not_to_be_visible()
    page.set_viewport_size({"width": 375, "height": 800})
    expect(wide).not_to_be_visible()
    expect(narrow).to_be_visible()


def test_the_numbers_of_a_figure_open_by_keyboard(page: Page) -> None:
    numbers = page.get_by_role("table", name="Spend by hour")
    expect(numbers).not_to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the figures")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(numbers).to_be_visible()
    assert numbers.locator("tbody tr").count() >= 2


def test_it_prints_with_its_numbers(page: Page) -> None:
    page.emulate_media(media="print")
    expect(page.get_by_role("table", name="Spend by hour")).to_be_visible()
    expect(page.locator("summary").first).not_to_be_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")
