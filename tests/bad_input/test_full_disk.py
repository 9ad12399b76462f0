"""A full disk under the ledger: nothing is sent that cannot be booked, nothing that was answered is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = '''
import asyncio, contextlib, json, resource, sys
from pathlib import Path
from deepthrift import AsyncClient, Client
from deepthrift.errors import LedgerUnavailable
from deepthrift_pricing import Ledger
from tests.support.bill_server import BillServer
from tests.support.doors import DOORS, PROMPT, REFERENCE, booked, settings, through_async, through_sync

way, disk = sys.argv[1], Path(sys.argv[2])
filler = disk / "filler"

def fill(folder):
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

async def awaited(ledger, server, streamed):
    async with AsyncClient(**settings(server, ledger=ledger)) as client:
        return await through_async(client, PROMPT, streamed=streamed, mode="thinking", max_tokens=500)

def call(door, ledger, server):
    streamed = door.endswith("stream")
    try:
        if door.startswith("async"):
            asyncio.run(awaited(ledger, server, streamed))
        else:
            with Client(**settings(server, ledger=ledger)) as client:
                through_sync(client, PROMPT, streamed=streamed, mode="thinking", max_tokens=500)
    except LedgerUnavailable as error:
        return str(error)
    return "answered"

def story(door, folder):
    out = {}
    with BillServer(REFERENCE) as server:
        with Ledger.open(f"sqlite:///{folder}/spend.db") as ledger:
            out["first"] = call(door, ledger, server)
            fill(folder)
            results = []
            while len(results) - results.count("answered") < 5 and len(results) < 500:
                results.append(call(door, ledger, server))
            out["refused"], out["answered before that"] = results[-1], results.count("answered")
            out["requests"] = len(server.requests)
            free()
            out["after"] = call(door, ledger, server)
            out["booked"], out["billed"] = str(booked(ledger)), str(server.bill.total)

            def filling(request):
                fill(folder)
                return REFERENCE
            server.script = filling
            out["meanwhile"] = call(door, ledger, server)
            server.script = REFERENCE
            free()
            out["at last"] = call(door, ledger, server)
        with Ledger.open(f"sqlite:///{folder}/spend.db") as ledger:
            out["states"] = sorted({attempt.status for attempt in ledger.attempts()})
            out["booked at last"], out["billed at last"] = str(booked(ledger)), str(server.bill.total)
            out["rows"], out["sent"] = len(ledger.attempts()), len(server.requests)
    return out

stories = {}
for door in DOORS:
    folder = disk / door.replace(" ", "-")
    folder.mkdir()
    stories[door] = story(door, folder)
print(json.dumps(stories))
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
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system can only be mounted by an administrator")
    yield "full", folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_sends_nothing_and_loses_nothing(disk: tuple[str, Path]) -> None:
    way, folder = disk
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, way, str(folder)],
        env={**os.environ, "TMPDIR": str(folder.parent)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    stories = json.loads(done.stdout)
    assert list(stories) == ["async", "async stream", "sync", "sync stream"]
    for door, out in stories.items():
        assert out["first"] == "answered", door
        assert "spend.db" in out["refused"]
        assert "make room" in out["refused"]
        assert out["requests"] == 1 + out["answered before that"], "a call was sent that could not be booked"
        assert out["after"] == "answered"
        assert out["booked"] == out["billed"]
        # What was answered while the disk was full reaches its caller, and the ledger as soon as there is room again.
        assert out["meanwhile"] == out["at last"] == "answered"
        assert out["booked at last"] == out["billed at last"]
        assert out["states"] == ["settled"]
        assert out["rows"] == out["sent"]
