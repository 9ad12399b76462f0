"""The dashboard as a command and in a real browser: live, private, and quiet when it ends."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from deepthrift_pricing.reports.page._html import money
from tests.cli.processes import COMMAND, PATIENCE, environment
from tests.support.traffic import Traffic

pytestmark = pytest.mark.slow


class Served:
    """The command, serving a ledger that this process writes to."""

    def __init__(self, folder: Path) -> None:
        self.traffic = Traffic(f"sqlite:///{folder / 'spend.db'}")
        self.traffic.answers(3)
        self.process = subprocess.Popen(
            [*COMMAND, "dashboard", "--json", "--ledger", str(folder / "spend.db"), "--prices", "brief"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment({}),
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.url: str = json.loads(line)["url"]

    def total(self) -> str:
        [row] = self.traffic.ledger.spend(by=())
        return money(row.total)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.process.kill()
    made.process.communicate()
    made.traffic.ledger.close()


def test_what_is_booked_elsewhere_appears_and_what_was_opened_stays_open(served: Served, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    trouble: list[str] = []
    page.on("console", lambda message: message.type == "error" and trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto(served.url)
    spent = page.locator(".cards dd").first
    expect(spent).to_contain_text(served.total())
    expect(page.get_by_role("status")).to_contain_text("Live", timeout=PATIENCE * 1000)
    page.locator("summary").first.click()
    before = served.total()
    served.traffic.answers(2)
    assert served.total() != before
    expect(spent).to_contain_text(served.total(), timeout=PATIENCE * 1000)
    expect(page.locator("details").first).to_have_attribute("open", "")
    assert trouble == []
    context.close()


def test_ctrl_c_ends_it_though_a_page_is_open(served: Served, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(served.url)
    expect(page.get_by_role("status")).to_contain_text("Live", timeout=PATIENCE * 1000)
    served.process.send_signal(signal.SIGINT)
    _, told = served.process.communicate(timeout=PATIENCE)
    assert served.process.returncode == 130
    assert "Traceback" not in told
    expect(page.get_by_role("status")).to_contain_text("The connection is lost", timeout=PATIENCE * 1000)
    context.close()


def test_only_who_knows_the_address_is_answered(served: Served) -> None:
    where = urlsplit(served.url)

    def status(path: str, host: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", where.port or 0, timeout=PATIENCE)
        connection.request("GET", path, headers={"Host": host})
        code = connection.getresponse().status
        connection.close()
        return code

    assert where.hostname == "127.0.0.1"
    assert status(where.path, where.netloc) == 200
    assert status("/", where.netloc) == 404
    assert status("/events", where.netloc) == 404
    assert status(where.path, "rebound.example") == 400
