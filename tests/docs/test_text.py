"""What the repository's text must not hold, and how long its files may be."""

from __future__ import annotations

import re
import statistics
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("sdk/", "router/", "pricing/")
TEXT = {".cfg", ".ini", ".jinja", ".json", ".md", ".py", ".pyi", ".toml", ".txt", ".yaml", ".yml", ""}
# Folders that exist on somebody's machine only; "me" is nobody. The classes keep this file from matching itself.
MACHINE_PATH = re.compile(r"(?<![\w.:/<$}-])/(?:w[o]rk|r[o]ot|h[o]me|U[s]ers|m[n]t)/(?!me\b)\w+|[A-Z]:\\U[s]ers\\")
REGISTRY = re.compile(r"p[y]pi\.(org|python)|f[i]les\.pythonhosted|d[e]b\.debian|registry\.n[p]mjs")


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.splitlines() if (path := ROOT / name).is_file()]


def lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in tracked() if path.suffix in TEXT}


def test_no_machine_paths(texts: dict[str, str]) -> None:
    found = {name: match[0] for name, text in texts.items() if (match := MACHINE_PATH.search(text))}
    assert not found


def test_no_registry_hosts(texts: dict[str, str]) -> None:
    """Where packages come from is the business of whoever installs."""
    found = {name: match[0] for name, text in texts.items() if (match := REGISTRY.search(text))}
    assert not found


def test_files_stay_small() -> None:
    long = {str(path.relative_to(ROOT)): lines(path) for path in tracked() if path.suffix == ".py"}
    assert {name: count for name, count in long.items() if count > 500} == {}
    assert statistics.median(count for name, count in long.items() if name.startswith(PRODUCT)) <= 200


def test_text_ends_in_one_newline_and_has_no_trailing_blanks(texts: dict[str, str]) -> None:
    untidy = [
        name
        for name, text in texts.items()
        if text and (not text.endswith("\n") or text.endswith("\n\n") or re.search(r"[ \t]+$", text, re.M))
    ]
    assert not untidy


def test_links_between_pages_lead_somewhere(texts: dict[str, str]) -> None:
    broken: list[str] = []
    for name, text in texts.items():
        if not name.endswith(".md"):
            continue
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.S)):
            path, _, anchor = target.partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            file = (ROOT / name).parent / path if path else ROOT / name
            if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8"))):
                broken.append(f"{name}: {target}")
    assert not broken


def anchors(markdown: str) -> set[str]:
    """The anchors that headings get: lower case, spaces to hyphens, punctuation dropped."""
    headings = re.findall(r"^#+ (.*)$", markdown, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
