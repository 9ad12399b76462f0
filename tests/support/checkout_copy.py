"""A copy of the checkout, in which the development page's examples are followed to the letter."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "development.md").read_text("utf-8")
TITLED: Final = re.compile(r'^```\w+ title="(?P<path>[\w./-]+)"\n(?P<text>.*?)^```$', re.M | re.S)
CONSOLE: Final = re.compile(r"^```console\n(?P<command>.*?)\n```$", re.M | re.S)
COPIED: Final = ("pricing", "sdk", "router", "tools", "docs", "tests")

TASK: Final = """
import sys
sys.path.insert(0, "tools")
import dev
dev.install = lambda level: None
raise SystemExit(dev.main(sys.argv[1:]))
"""
"""Runs a task of the copy in the environment that is there already."""


class Copy:
    """A copy of the checkout, with what one section of the page says put into it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        skipped = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info", "images")
        for name in COPIED:
            shutil.copytree(ROOT / name, root / name, ignore=skipped)
        shutil.copy(ROOT / "pyproject.toml", root)
        paths = [str(root / name) for name in ("pricing", "sdk", "router")]
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([*paths, str(root)]),
            "DEEPTHRIFT_VENV": sys.prefix,
            "DEEPTHRIFT_HOME": str(root / "home"),
            "NO_COLOR": "1",
        }

    def follow(self, section: str) -> str:
        """Write the file of a section and run its command; what the command prints."""
        text = PAGE.partition(f"\n### {section}\n")[2].partition("\n### ")[0]
        [file], [command] = TITLED.finditer(text), CONSOLE.finditer(text)
        path = self.root / file["path"]
        assert not path.exists(), f"{path.name} is there already: choose another example"
        path.write_text(file["text"], "utf-8")
        return self.run(command["command"])

    def run(self, command: str) -> str:
        """What a command of the page prints."""
        program, *arguments = shlex.split(command)
        known = {"make": ["-c", TASK], "deepthrift": ["-m", "deepthrift_router.cli"]}
        return self.python(*known[program], *arguments)

    def python(self, *arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def read(self, path: str) -> str:
        return (self.root / path).read_text("utf-8")

    def files(self) -> dict[str, str]:
        """Every file by its path, with a digest of what is in it."""
        paths = (path for name in COPIED for path in (self.root / name).rglob("*") if path.is_file())
        return {
            path.relative_to(self.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths
            if path.suffix != ".pyc"
        }
