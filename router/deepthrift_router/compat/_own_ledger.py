"""The ledger of an application that gives budgets and names no ledger: a file that all its processes share."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deepthrift.errors import ConfigurationError, LedgerUnavailable
from deepthrift.shared.files import home
from deepthrift_pricing import Budget, Ledger

VARIABLE: Final = "DEEPTHRIFT_LEDGER"
_MARKS: Final = (
    "pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "Pipfile", "uv.lock", "poetry.lock",
    "environment.yml", "manage.py", "package.json", ".git", ".hg",
)  # fmt: skip
"""Files and folders that a project has at its top."""
_USER_CODE: Final = 4
"""Frames from here to the line that makes the facade."""


def open_own_ledger(budgets: Sequence[Budget]) -> Ledger:
    """The ledger for `budgets`: the one that `DEEPTHRIFT_LEDGER` names, else the application's own file.

    Raises:
        ConfigurationError: It cannot be told which application this is.
        LedgerUnavailable: The file cannot be made, opened or written.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Ledger.open(named if "://" in named or named == "memory:" else Path(named), budgets=budgets)
    path = own_ledger()
    _make_private(path)
    ledger = Ledger.open(path, budgets=budgets)
    warnings.warn(
        f"no ledger is given, so the budgets are kept in {str(path)!r}, which every process of this application "
        f"shares. To choose the place, pass ledger= or set {VARIABLE}; ledger='memory:' keeps them in one process.",
        stacklevel=_USER_CODE,
    )
    return ledger


def own_ledger() -> Path:
    """The file of this application, named after its project folder.

    An application is the project of the main script, together with the project of the working directory where the
    script lies elsewhere. The root, the home folder and the folder for temporary files are no project of a script's, so
    that cron and systemd may start it from there.

    Raises:
        ConfigurationError: Neither says which application this is.
    """
    script = _main_script()
    folders = [] if script is None else [_project(script.parent)]
    here = Path.cwd().resolve()
    if script is None or (here not in script.parents and here not in _places_of_no_project()):
        folders.append(_project(here))
    folders = list(dict.fromkeys(folders))
    if folders == [Path(here.anchor)]:
        raise ConfigurationError(
            f"budgets without a ledger are kept in a file of this application, but {str(here)!r} is no project folder; "
            f"pass ledger= or set {VARIABLE} to a file or a database, or ledger='memory:' for this process only"
        )
    digest = hashlib.sha256("\0".join(os.path.normcase(folder) for folder in folders).encode(errors="surrogateescape"))
    name = re.sub(r"[^\w.-]+", "_", folders[0].name)[:40] or "root"
    return home() / "applications" / f"{name}-{digest.hexdigest()[:12]}.db"


def _main_script() -> Path | None:
    """The user's file that Python was started with; `None` for `-c`, for a prompt, and for installed programs."""
    for name in ("__mp_main__", "__main__"):  # a process of multiprocessing runs its parent's script under this name
        file = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(file, str):
            script = Path(file).resolve()
            return None if _is_installed(script) else script
    return None


def _is_installed(script: Path) -> bool:
    if {"site-packages", "dist-packages"} & set(script.parts) or not script.is_file():
        return True
    places = [sysconfig.get_path("scripts"), sysconfig.get_path("stdlib")]
    places += [sys.prefix] if sys.prefix != sys.base_prefix else []
    return any(Path(place).resolve() in script.parents for place in places)


def _project(folder: Path) -> Path:
    """The nearest folder from `folder` upwards that looks like the top of a project; else `folder` itself."""
    outside = _places_of_no_project()
    for each in (folder, *folder.parents):
        if each in outside:
            break
        if any((each / mark).exists() for mark in _MARKS):
            return each
    return folder


def _places_of_no_project() -> frozenset[Path]:
    found = {Path(Path.cwd().anchor), Path(tempfile.gettempdir()).resolve()}
    with contextlib.suppress(RuntimeError):  # a user without a home
        found.add(Path.home().resolve())
    return frozenset(found)


def _make_private(path: Path) -> None:
    """Make an empty file that only its owner may read, unless it is there; SQLite gives its side files the same mode.

    Raises:
        LedgerUnavailable: It cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise LedgerUnavailable(
            f"the ledger {str(path)!r} of this application cannot be made: {error.strerror}; pass ledger= or set "
            f"{VARIABLE}, or ledger='memory:' to keep the budgets in this process"
        ) from error
