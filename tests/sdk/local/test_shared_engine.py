"""One engine for several processes: it outlives whoever started it, and ends with the last one that uses it."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from deepthrift import AsyncClient
from deepthrift.errors import ConfigurationError, EngineCrashed, ModelFileError
from deepthrift.local import Engine
from deepthrift.local._shared.lease import FileLock, Lease, leases
from tests.sdk.local.processes import is_running, until
from tests.support.tiny_gguf import STANDARD_ANSWER

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them"),
]

USER = """
import asyncio, sys
from deepthrift import AsyncClient
from deepthrift.local import Engine

async def main():
    async with AsyncClient.local(engine=Engine(sys.argv[1], share="one")) as client:
        print(client._session._engine.pid, (await client.chat("Hi")).text, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


@contextlib.contextmanager
def user(tiny: Path) -> Generator[tuple[subprocess.Popen[str], int]]:
    """Another process that uses the engine `one`, and the process id of that engine."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(tiny)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        pid, _, said = process.stdout.readline().partition(" ")
        if not pid:
            pytest.fail(process.communicate()[1])
        assert said.strip() == STANDARD_ANSWER
        yield process, int(pid)
    finally:
        process.kill()
        process.communicate()


def files() -> list[Path]:
    return sorted(path for path in Path(os.environ["DEEPTHRIFT_HOME"]).rglob("*") if path.is_file())


@pytest.mark.slow
async def test_it_outlives_the_process_that_started_it_and_ends_with_the_last(tiny: Path) -> None:
    with user(tiny) as (first, pid):
        engine = Engine(tiny, share="one")
        async with AsyncClient.local(engine=engine) as client:
            assert engine.pid == pid
            first.kill()
            first.wait()
            await until(lambda: not is_running(first.pid))
            assert (await client.chat("Hi")).text == STANDARD_ANSWER
            assert engine.pid == pid
            assert (await engine.health()).status == "ready"
            key = engine.key
            holders = [path for path in files() if key in path.read_text("utf-8", "replace")]
            assert [path.name for path in holders] == ["state.json"]
            assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in files())
        assert await until(lambda: not is_running(pid))
    assert not [path for path in files() if path.name == "state.json" or path.suffix == ".lease"]


@pytest.mark.slow
async def test_processes_that_start_in_the_same_moment_get_one_engine(tiny: Path) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(3) as threads:
        started = [threads.submit(stack.enter_context, user(tiny)) for _ in range(3)]
        users = [each.result() for each in started]
        pids = {pid for _, pid in users}
        assert len(pids) == 1
        for process, _ in users:
            process.kill()
        assert await until(lambda: not any(map(is_running, pids)))


@pytest.mark.slow
async def test_when_it_dies_everyone_is_told_and_goes_on(tiny: Path) -> None:
    told: list[EngineCrashed] = []
    engine = Engine(tiny, share=True, on_crash=told.append)
    async with (
        AsyncClient.local(engine=engine) as one,
        AsyncClient.local(engine=Engine(tiny, share=True)) as two,
    ):
        before = engine.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        crash = await engine.crash(within=5)
        assert crash is not None
        assert (crash.exit_code, crash.out_of_memory) == (-9, False)
        for client in (one, two):
            assert (await client.chat("Hi")).text == STANDARD_ANSWER
        after = engine.pid
        assert after not in (None, before)
        assert (await engine.health()).crashes == 1
    assert len(told) == 1
    assert await until(lambda: not is_running(after or 0))


@pytest.mark.slow
async def test_when_its_keeper_is_killed_the_next_call_starts_both_again(tiny: Path) -> None:
    engine = Engine(tiny, share=True)
    async with AsyncClient.local(engine=engine) as client:
        before = engine.pid
        assert before is not None
        keeper = int(Path(f"/proc/{before}/stat").read_text().rpartition(")")[2].split()[1])
        assert keeper not in (1, os.getpid())
        os.kill(keeper, signal.SIGKILL)
        assert await until(lambda: not is_running(before)), "the engine ends with its keeper"
        crash = await engine.crash(within=10)
        assert crash is not None
        assert crash.exit_code is None
        assert (await client.chat("Hi")).text == STANDARD_ANSWER
        after = engine.pid
        assert after not in (None, before)
    assert await until(lambda: not is_running(after or 0))


@pytest.mark.slow
async def test_nobody_asking_is_as_good_as_nobody_there(tiny: Path) -> None:
    engine = Engine(tiny, share=True, idle_shutdown=0.3)
    async with AsyncClient.local(engine=engine) as client:
        assert await until(lambda: engine.pid is None)
        assert (await client.chat("Hi")).text == STANDARD_ANSWER
        assert engine.pid is not None


@pytest.mark.slow
async def test_a_name_means_the_same_settings_everywhere(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Engine(tiny, share="mine", slots=1):
        with pytest.raises(ConfigurationError, match="runs with another slots"):
            async with Engine(tiny, share="mine", slots=2):
                pass
    monkeypatch.chdir(tiny.parent)
    async with Engine(tiny.name, share=True) as one, Engine(tiny, share=True) as two:
        assert one.pid == two.pid, "a file is the same seen from any folder"
    for wrong in ("", "../x", "a b"):
        with pytest.raises(ConfigurationError, match="not a name"):
            Engine(tiny, share=wrong)
    with pytest.raises(ConfigurationError, match="log in a file of its own"):
        Engine(tiny, share=True, log=print)


@pytest.mark.slow
async def test_a_start_that_fails_is_told_to_whoever_asked(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ModelFileError, match="no model file"):
            async with Engine(tmp_path / "none.gguf", share=True):
                pass


def test_a_lease_ends_with_its_process(tmp_path: Path) -> None:
    folder = tmp_path / "leases"
    assert leases(folder) == []
    script = "import sys, time\nfrom pathlib import Path\nfrom deepthrift.local._shared.lease import Lease\n"
    script += "held = Lease(Path(sys.argv[1]))\nprint(1, flush=True)\ntime.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    mine = Lease(folder)
    assert len(leases(folder)) == 2
    process.kill()
    process.communicate()
    assert len(leases(folder)) == 1
    mine.close()
    mine.close()
    assert leases(folder) == []
    assert list(folder.iterdir()) == []


def test_a_fork_holds_no_lease_of_its_parent(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    assert lock.take()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    lock.close()
    again = FileLock(tmp_path / "lock")
    assert again.take()
    again.close()
    os.close(writer)
    os.close(reader)
    os.waitpid(child, 0)
