"""Makes the pictures of the docs from the real thing: `python tools/screenshots.py` writes docs/images/.

Pages are drawn by a real browser (Chromium, by Playwright), terminals by the command itself on one of 80 columns.
The traffic that they show is made up, and always the same.
"""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
sys.path.insert(0, str(ROOT))

COMMANDS = {
    "spend": ["spend", "--report"],
    "price": [
        "price",
        "explain",
        "--prompt",
        "2000",
        "--cache-hit",
        "1536",
        "--completion",
        "500",
        "--prices",
        "brief",
        "--at",
        "2025-09-10T12:00Z",
    ],
    "plan": ["plan", "--requests", "1000000", "--prompt", "2000", "--completion", "500", "--gpu-hour", "2.50"],
}


def on_a_terminal(arguments: list[str], home: str) -> str:
    """What a command writes on a terminal of 80 columns, its colours included."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "DEEPTHRIFT_HOME": home, "COLUMNS": "80", "LINES": "200", "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "deepthrift_router.cli", *arguments]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):
        while select.select([ours], [], [], 60)[0] and (piece := os.read(ours, 65536)):
            shown += piece
    os.close(ours)
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{shown.decode(errors='replace')}")
    return shown.decode("utf-8", "replace").replace("\r\n", "\n").replace(home, "~/.local/share/deepthrift")


def picture_of(text: str, title: str) -> str:
    """A terminal's text as SVG, in fonts of the reader's own."""
    from rich.console import Console
    from rich.terminal_theme import MONOKAI
    from rich.text import Text

    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(text.rstrip()))
    drawn = console.export_svg(title=title, theme=MONOKAI, unique_id="deepthrift")
    # The font would be fetched from elsewhere.
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.S).replace("Fira Code", "ui-monospace")


def terminals() -> dict[str, str]:
    """Pictures of commands, by the names of their files."""
    from tests.support.traffic import Traffic

    made: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as home:
        traffic = Traffic(f"sqlite:///{home}/spend.db")
        traffic.answers(120)
        traffic.ledger.close()
        for name, arguments in COMMANDS.items():
            text = f"$ deepthrift {' '.join(arguments)}\n{on_a_terminal(arguments, home)}"
            made[f"terminal-{name}.svg"] = picture_of(text, f"deepthrift {arguments[0]}")
    return made


def pages() -> None:
    """Pictures of the report page on a desk, in the dark, and on a phone."""
    from deepthrift_pricing import PriceBook
    from deepthrift_pricing.reports.page import report_page, write_page
    from tests.support.browsers import running_browser
    from tests.support.traffic import PRICES, Traffic

    traffic = Traffic()
    traffic.answers(160)
    page = report_page(
        traffic.ledger, until=traffic.now, prices=PRICES, compare=PriceBook.named("comparison").rows
    ).replace("&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;", "support")  # a name that only the tests need
    traffic.ledger.close()
    with tempfile.TemporaryDirectory() as folder, running_browser() as browser:
        file = Path(folder) / "report.html"
        write_page(page, file)
        for name, scheme, width, height in (
            ("report", "light", 1000, 1350),
            ("report-dark", "dark", 1000, 1350),
            ("report-phone", "light", 390, 1000),
        ):
            context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
            opened = context.new_page()
            opened.goto(file.as_uri())
            opened.screenshot(path=IMAGES / f"{name}.png")
            context.close()


def main() -> int:
    """Make all of them."""
    IMAGES.mkdir(exist_ok=True)
    for name, text in terminals().items():
        (IMAGES / name).write_text(text, "utf-8")
    pages()
    return 0


if __name__ == "__main__":
    sys.exit(main())
