"""What of the public surface changed in a breaking way since the last release: `python tools/api_compat.py [TAG]`.

The last release is the latest `v…` tag that HEAD descends from. Before 1.0 a minor version may break things, but never
silently: each breakage must be told in the Unreleased part of CHANGELOG.md by the name of what broke, in backquotes.
Exits with 1 while one is not.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"deepthrift_pricing": "pricing", "deepthrift": "sdk", "deepthrift_router": "router"}


def last_release(root: Path) -> str | None:
    """The latest release tag, or `None` before the first release."""
    command = ["git", "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def breakages(root: Path, tag: str) -> Iterator[griffe.Breakage]:
    """What was public at `tag` and is gone, or takes other arguments, now."""
    for package, folder in PACKAGES.items():
        if not (root / folder / package).is_dir():
            continue
        before = griffe.load_git(package, ref=tag, repo=root, search_paths=[folder], resolve_aliases=True)
        now = griffe.load(package, search_paths=[root / folder], resolve_aliases=True)
        for each in griffe.find_breaking_changes(before, now):
            if not each.obj.path.startswith(f"{package}.shared"):  # for the packages of this distribution alone
                yield each


def unreleased(changelog: str) -> str:
    """The part of the changelog above the first release."""
    found = re.search(r"^## Unreleased$(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    return found[1] if found else ""


def untold(found: Iterable[griffe.Breakage], notes: str) -> list[str]:
    """The breakages whose object the notes do not name."""
    return [each.explain(griffe.ExplanationStyle.ONE_LINE) for each in found if f"`{each.obj.name}`" not in notes]


def main(arguments: list[str]) -> int:
    tag = arguments[0] if arguments else last_release(ROOT)
    if tag is None:
        print("there is no release yet to be compatible with")
        return 0
    problems = untold(breakages(ROOT, tag), unreleased((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))
    print("\n".join(problems) if problems else f"nothing public broke silently since {tag}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
