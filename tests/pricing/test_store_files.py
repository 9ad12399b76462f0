"""The files of a ledger belong to their owner alone, whatever the umask is."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepthrift_pricing import Ledger

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rights")


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.mark.usefixtures("_umask")
def test_a_new_ledger_is_private(tmp_path: Path) -> None:
    path = tmp_path / "spend.db"
    with Ledger.open(path) as ledger:
        ledger.attempts()
        assert modes(tmp_path) == {"spend.db": 0o600, "spend.db-wal": 0o600, "spend.db-shm": 0o600}
    with Ledger.open(path) as ledger:
        ledger.attempts()
    assert modes(tmp_path)["spend.db"] == 0o600


def test_a_ledger_that_is_shared_on_purpose_stays_shared(tmp_path: Path) -> None:
    path = tmp_path / "spend.db"
    Ledger.open(path).close()
    path.chmod(0o660)
    with Ledger.open(path) as ledger:
        ledger.attempts()
        assert set(modes(tmp_path).values()) == {0o660}
