"""The example that streams into a web page, seen by a real browser: modes, escalation, and leaving."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.cli.processes import PATIENCE
from tests.docs.test_example_programs import serving
from tests.router.support import by_mode
from tests.support.bill_server import Answer, BillServer

pytestmark = pytest.mark.slow

CANBERRA = Answer("Canberra.", reasoning="Sydney is larger, but it is not the capital.")
MS = PATIENCE * 1000


def test_an_escalation_is_seen_as_it_happens_and_a_mode_can_be_chosen(tmp_path: Path, browser: Browser) -> None:
    script = by_mode([Answer("Sydney."), Answer("Melbourne."), Answer("Perth.")], CANBERRA)
    with BillServer(script) as server, serving("web_stream.py", server.url, tmp_path) as http:
        page = browser.new_page()
        trouble: list[str] = []
        page.on("pageerror", lambda error: trouble.append(str(error)))
        http.get("/")  # it listens
        page.goto(str(http.base_url))
        page.get_by_label("Mode").select_option("cascade")
        page.get_by_role("button", name="Ask").click()
        expect(page.get_by_role("status")).to_contain_text("escalate", timeout=MS)
        expect(page.locator("#answer")).to_have_text("Sydney. Canberra.", timeout=MS)
        expect(page.locator("#answer del")).to_have_text("Sydney.")
        expect(page.get_by_label("Reasoning")).to_have_text(str(CANBERRA.reasoning))
        expect(page.get_by_role("status")).to_contain_text("USD", timeout=MS)

        page.get_by_label("Mode").select_option("thinking")
        page.get_by_role("button", name="Ask").click()
        expect(page.locator("#answer")).to_have_text("Canberra.", timeout=MS)
        expect(page.get_by_role("status")).to_contain_text("thinking · ", timeout=MS)
        expect(page.locator("#answer del")).to_have_count(0)
        assert trouble == []
        page.close()


def test_it_is_dark_for_who_wants_it_dark(tmp_path: Path, browser: Browser) -> None:
    with BillServer(CANBERRA) as server, serving("web_stream.py", server.url, tmp_path) as http:
        http.get("/")
        page = browser.new_page(color_scheme="dark")
        page.goto(str(http.base_url))
        shown = page.evaluate("[document.body, document.querySelector('textarea')].map(e => getComputedStyle(e).color)")
        assert shown == ["rgb(255, 255, 255)"] * 2
        page.close()


def test_who_closes_the_page_stops_the_call(tmp_path: Path, browser: Browser) -> None:
    slow = CANBERRA.but(text="Canberra. " * 2000, token_delay=0.02)
    with BillServer(slow) as server, serving("web_stream.py", server.url, tmp_path) as http:
        http.get("/")
        page = browser.new_page()
        page.goto(str(http.base_url))
        page.get_by_label("Mode").select_option("standard")
        page.get_by_role("button", name="Ask").click()
        expect(page.locator("#answer")).to_contain_text("Canberra.", timeout=MS)
        page.close()
        server.quiet(PATIENCE)
        assert server.requests[0].disconnected
