"""Hostile code does no harm: it runs in a process of its own, with limits, without network and files."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepthrift.errors import ConfigurationError, IsolationUnavailable
from deepthrift_router import Sandbox
from deepthrift_router._evidence.isolation import isolation_line
from deepthrift_router._evidence.sandbox_folder import make_folder, remove_folder
from deepthrift_router._evidence.syscall_filter import filter_for
from tests.support.namespaces import without_user_namespaces

# It runs where code cannot be isolated, too, so that the rest is tested there.
QUICK = Sandbox(seconds=60, memory_mb=256, file_mb=1, required=False)
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
    """Where the system allows it; where it does not, that is said, and nothing runs by default."""
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
    strict = Sandbox(seconds=60)
    if set(done.isolation) == set(ISOLATED):
        assert (await strict.run("print(1)")).output == "1\n"
    else:
        with pytest.raises(IsolationUnavailable):
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


def test_whatever_it_leaves_behind_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders without rights, links to a file of the user, names that collide, and folders far too deep to recurse."""
    mine = tmp_path / "mine"
    mine.write_text("mine")
    mine.chmod(0o600)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    work = Path(make_folder())
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
    # Not isolated: an isolated program leaves nothing on the disk.
    subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=work, check=True)
    assert list(work.iterdir())
    remove_folder(str(work))
    assert not work.exists()
    assert mine.read_text() == "mine"
    assert mine.stat().st_mode & 0o777 == 0o600


async def test_cancelled_it_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    task = asyncio.ensure_future(QUICK.run("open('begun', 'w'); import time; time.sleep(60)"))
    while not list(tmp_path.glob("*/*")):  # its own file, or what encloses it
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(tmp_path.iterdir()) == []


def test_limits_are_above_zero() -> None:
    with pytest.raises(ConfigurationError):
        Sandbox(seconds=0)
    with pytest.raises(ConfigurationError):
        Sandbox(memory_mb=-1)
    with pytest.raises(ConfigurationError):
        Sandbox(files=0)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's namespaces")
async def test_the_rights_in_its_namespaces_are_given_up() -> None:
    """Else the code could mount a larger folder, make the interpreter's folders writable, or hold memory unseen."""
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
calls = {
    "mount": lambda: libc.mount(b"none", os.getcwd().encode(), b"tmpfs", 0, b"size=1g"),
    "remount": lambda: libc.mount(b"none", b"/usr", None, 32 | 4096, None),
    "unshare": lambda: libc.unshare(0x10000000),
    "memfd_create": lambda: libc.memfd_create(b"unseen", 0),
    "shmget": lambda: libc.shmget(0, 1 << 20, 0o1600),
    "ptrace": lambda: libc.ptrace(0, 0, 0, 0),
}
for name, call in calls.items():
    print(name, "done" if call() >= 0 else os.strerror(ctypes.get_errno()))
for place in ("/new", "/usr/new"):
    try:
        print(place, open(place, "w"))
    except OSError as error:
        print(place, error.strerror)
"""
    done = await QUICK.run(code)
    if set(done.isolation) == set(ISOLATED):
        calls = ("mount", "remount", "unshare", "memfd_create", "shmget", "ptrace")
        places = ("/new", "/usr/new")
        wanted = [f"{each} Operation not permitted" for each in calls]
        assert done.output.splitlines() == [*wanted, *(f"{each} Read-only file system" for each in places)]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's namespaces")
async def test_threads_and_programs_still_work_inside() -> None:
    code = """
import subprocess, threading
thread = threading.Thread(target=print, args=("thread",))
thread.start(); thread.join()
print(subprocess.run(["echo", "program"], capture_output=True, text=True).stdout)
"""
    done = await QUICK.run(code)
    assert done.output.split() == ["thread", "program"], done.errors


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_is_a_program_for_the_kernel(machine: str) -> None:
    found = filter_for(machine)
    assert found is not None
    assert len(found) % 8 == 0
    assert len(found) // 8 < 256  # jumps of the kernel's filters are one byte
    assert filter_for("m68k") is None


@pytest.mark.parametrize(
    ("held", "line"),
    [
        (ISOLATED, "isolated: no network, no other processes, no files but its own"),
        (("network", "processes"), "partly isolated: network and processes shut off, files not"),
        ((), "not isolated: it ran with all rights of your user"),
    ],
)
def test_what_held_in_words(held: tuple[str, ...], line: str) -> None:
    assert isolation_line(held) == line


UNPROTECTED = """
import asyncio, json, sys, tempfile
from deepthrift_router import Sandbox
tempfile.tempdir = sys.argv[1]
write = "for number in range(1000):\\n    open(f'file-{number}', 'wb').write(bytes(SIZE))\\nwhile True: pass"
large, many = write.replace("SIZE", "10**6"), write.replace("SIZE", "0")
async def main():
    sandbox = Sandbox(seconds=600, cpu_seconds=600, disk_mb=4, files=100, required=False)
    done = [await sandbox.run(code) for code in (large, many)]
    print(json.dumps([[each.ok, each.timed_out, each.errors, list(each.isolation)] for each in done]))
asyncio.run(main())
"""


def test_unprotected_code_that_fills_the_disk_is_ended(tmp_path: Path) -> None:
    """Where no file system limits it, the folder is watched; it is removed, too."""
    for ok, timed_out, errors, isolation in json.loads(without_user_namespaces(UNPROTECTED, str(tmp_path))):
        assert (ok, timed_out, isolation) == (False, False, [])
        assert "it wrote more than 4 MB or 100 files" in errors
    assert list(tmp_path.iterdir()) == []
