"""A full disk under the ledger: nothing is sent that cannot be booked, nothing that was booked is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = '''
import asyncio, contextlib, json, os, resource, sys
from pathlib import Path
from deepthrift import AsyncClient, Client
from deepthrift.errors import LedgerUnavailable
from deepthrift_pricing import Ledger
from tests.support.bill_server import BillServer
from tests.support.doors import REFERENCE, booked, settings, through_async, through_sync, PROMPT

way, door, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
filler = folder / "filler"
streamed = door.endswith("stream")

def fill():
    """From now on, no file of the ledger can grow."""
    if way == "limit":
        size = max(path.stat().st_size for path in folder.iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, resource.RLIM_INFINITY))
        return
    with filler.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        while out.write(bytes(512)):
            pass

def free():
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    filler.unlink(missing_ok=True)

async def call(ledger, server):
    async with AsyncClient(**settings(server, ledger=ledger)) as client:
        return await through_async(client, PROMPT, streamed=streamed, mode="thinking", max_tokens=500)

def once(ledger, server):
    if door.startswith("async"):
        return asyncio.run(call(ledger, server))
    with Client(**settings(server, ledger=ledger)) as client:
        return through_sync(client, PROMPT, streamed=streamed, mode="thinking", max_tokens=500)

def attempt(ledger, server):
    try:
        once(ledger, server)
    except LedgerUnavailable as error:
        return {"error": str(error), "spend": None if error.spend is None else str(error.spend.amount)}
    return "answered"

out = {}
with BillServer(REFERENCE) as server, Ledger.open(f"sqlite:///{folder}/spend.db", lease=2.0) as ledger:
    out["first"] = attempt(ledger, server)
    fill()
    results = []
    while len(results) - results.count("answered") < 10 and len(results) < 500:
        results.append(attempt(ledger, server))
    out["sent before the disk was full"] = results.count("answered")
    out["refused"] = results[-1]
    out["requests"] = len(server.requests)
    free()
    out["after"] = attempt(ledger, server)
    out["booked"], out["billed"] = str(booked(ledger)), str(server.bill.total)

    # The disk fills while the provider is answering.
    def filling(request):
        fill()
        return REFERENCE
    server.script = filling
    out["meanwhile"] = attempt(ledger, server)
    server.script = REFERENCE
    free()
    out["at last"] = attempt(ledger, server)
with Ledger.open(f"sqlite:///{folder}/spend.db", lease=2.0) as ledger:
    import time
    time.sleep(2.1)
    ledger.sweep()
    out["booked at last"], out["billed at last"] = str(booked(ledger)), str(server.bill.total)
    out["rows"], out["sent"] = len(ledger.attempts()), len(server.requests)
print(json.dumps(out))
'''


@pytest.fixture(params=["limit", "full"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A folder whose files can no longer grow: by a limit of the process, or on a file system that is really full."""
    if sys.platform == "win32":
        pytest.skip("no such limit here")
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "limit":
        yield "limit", folder
        return
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system can only be mounted by an administrator")
    yield "full", folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("door", ["async", "async stream", "sync", "sync stream"])
def test_a_full_disk_sends_nothing_and_loses_nothing(disk: tuple[str, Path], door: str) -> None:
    way, folder = disk
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, way, door, str(folder)],
        env={**os.environ, "TMPDIR": str(folder.parent)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    assert out["first"] == "answered"
    assert out["refused"] != "answered"
    assert "disk" in out["refused"]["error"] or "written" in out["refused"]["error"]
    assert out["requests"] == 1 + out["sent before the disk was full"], "a call was sent that could not be booked"
    assert out["after"] == "answered"
    assert out["booked"] == out["billed"]
    # What was billed while the disk was full is in the ledger: exactly, or held at its worst case.
    assert out["meanwhile"] == "answered" or out["meanwhile"]["spend"] is not None
    assert out["at last"] == "answered"
    assert float(out["booked at last"]) >= float(out["billed at last"])
    assert out["rows"] == out["sent"]
