"""Hostile code does no harm: it runs in a process of its own, with limits, without network and files."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepthrift.errors import ConfigurationError
from deepthrift_router import Sandbox

QUICK = Sandbox(seconds=10, memory_mb=256, file_mb=1)
ISOLATED = ("network", "processes", "files")


@pytest.fixture
def listening() -> Iterator[int]:
    """A port of this machine on which somebody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


async def test_a_program_reads_and_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    done = await QUICK.run("import json; print(json.loads(input())[::-1])", stdin='"abc"\n')
    assert (done.ok, done.output, done.errors) == (True, "cba\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise ValueError('no')", "ValueError: no"),
        ("import sys; sys.exit(3)", ""),
        ("raise SystemExit('stop')", "stop"),
        ("def f(:", "SyntaxError"),
        ("x = 'a' * 10**10", "MemoryError"),
        ("open('big', 'wb').write(b'0' * 10**7)", "File too large"),
        ("import pydantic", "ModuleNotFoundError"),
    ],
)
async def test_a_program_that_fails(code: str, says: str) -> None:
    done = await QUICK.run(code)
    assert not done.ok
    assert done.exit_code != 0
    assert says in done.errors


async def test_nothing_of_the_surroundings_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-secret")
    done = await QUICK.run("import os; print(sorted(os.environ)); print(os.getcwd() == os.environ['HOME'])")
    assert "DEEPSEEK_API_KEY" not in done.output
    assert "True" in done.output


@pytest.mark.parametrize(
    "code",
    ["while True: pass", "import time; time.sleep(60)", "import signal, time; signal.signal(15, 0); time.sleep(60)"],
)
async def test_a_program_that_does_not_end(code: str) -> None:
    done = await Sandbox(seconds=0.5).run(code)
    assert done.timed_out
    assert not done.ok


async def test_endless_output_is_cut() -> None:
    done = await QUICK.run("while True: print('x' * 1000)")
    assert len(done.output) == 65_536
    assert not done.ok


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's namespaces")
async def test_isolation(listening: int, tmp_path: Path) -> None:
    """Where the system allows it; where it does not, it is told, and `required` refuses."""
    secret = tmp_path / "secret"
    secret.write_text("key")
    secret.chmod(0o666)
    code = f"""
import socket, os
try:
    socket.create_connection(("127.0.0.1", {listening}), 1)
    print("connected")
except OSError:
    print("no network")
try:
    print(open({str(secret)!r}).read())
except OSError:
    print("no file")
try:
    open({str(tmp_path / "new")!r}, "w")
    print("written")
except OSError:
    print("not written")
try:
    os.kill({os.getpid()}, 0)
    print("seen")
except OSError:
    print("no process")
"""
    done = await QUICK.run(code)
    said = done.output.split("\n")[:4]
    held = dict(zip(("network", "files", "files again", "processes"), said, strict=True))
    if "network" in done.isolation:
        assert held["network"] == "no network"
    if "files" in done.isolation:
        assert held["files"] == "no file"
        assert held["files again"] == "not written"
    if "processes" in done.isolation:
        assert held["processes"] == "no process"
    strict = Sandbox(required=True)
    if set(done.isolation) == set(ISOLATED):
        assert (await strict.run("print(1)")).output == "1\n"
    else:
        with pytest.raises(ConfigurationError):
            await strict.run("print(1)")
    assert secret.read_text() == "key"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's namespaces")
async def test_whatever_it_starts_ends_with_it(tmp_path: Path) -> None:
    """A child that leaves its group and lives on would hold the pipe open, and the call with it."""
    code = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(60)
print("done", flush=True)
"""
    done = await QUICK.run(code)
    assert "done" in done.output
    if set(done.isolation) == set(ISOLATED):
        assert not done.timed_out


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's namespaces")
async def test_a_fork_bomb_is_bounded() -> None:
    code = """
import os, time
count = 0
try:
    while count < 100:
        if os.fork() == 0:
            time.sleep(60)
        count += 1
except OSError:
    pass
print(count)
"""
    done = await QUICK.run(code)
    if set(done.isolation) == set(ISOLATED):
        assert int(done.output) < QUICK.processes


async def test_whatever_it_leaves_behind_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders without rights, links to a file of the user, names that collide, and folders far too deep to recurse."""
    work, mine = tmp_path / "work", tmp_path / "mine"
    work.mkdir()
    mine.write_text("mine")
    mine.chmod(0o600)
    monkeypatch.setattr("tempfile.tempdir", str(work))
    code = f"""
import os
os.mkdir("shut")
os.symlink({str(mine)!r}, "shut/link")
os.symlink({str(tmp_path)!r}, "shut/folder")
os.mkdir("shut/in")
os.mkdir(".0")
os.chmod("shut/in", 0)
os.chmod("shut", 0)
for _ in range(3000):
    os.mkdir("d")
    os.chdir("d")
print("made")
"""
    done = await QUICK.run(code)
    assert done.output == "made\n"
    assert list(work.iterdir()) == []
    assert mine.read_text() == "mine"
    assert mine.stat().st_mode & 0o777 == 0o600


async def test_cancelled_it_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    task = asyncio.ensure_future(QUICK.run("import time; time.sleep(60)"))
    while not list(tmp_path.iterdir()):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(tmp_path.iterdir()) == []


def test_limits_are_above_zero() -> None:
    with pytest.raises(ConfigurationError):
        Sandbox(seconds=0)
    with pytest.raises(ConfigurationError):
        Sandbox(memory_mb=-1)
