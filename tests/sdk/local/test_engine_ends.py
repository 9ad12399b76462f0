"""However it ends, no engine is left behind, and whoever used it is told why."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deepthrift.errors import EngineCrashed, EngineStartFailed
from deepthrift.local import Engine
from tests.support.waiting import PATIENCE, until, until_blocking

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them"),
]

START = """
import asyncio, os, signal, sys, threading, time
from deepthrift.local import Engine, serve

async def start():
    engine = Engine(sys.argv[1])
    await engine.__aenter__()
    print(engine.pid, flush=True)
    return engine
"""
# An engine whose start never ends and, as the real one does, holds the interpreter lock: no thread of the process runs.
STUCK = """
import ctypes, os
class CommonParams:
    def __init__(self):
        self.model = self.cpuparams = self.cpuparams_batch = type("Part", (), {})()
def Server(params):
    with open(os.environ["STUCK_PID"] + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(os.environ["STUCK_PID"] + ".new", os.environ["STUCK_PID"])
    ctypes.PyDLL(None).sleep(60)
"""


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def ends(pid: int, seconds: float = PATIENCE) -> bool:
    end = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_running(pid)


def children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return {pid for pid in found if is_running(pid)}


@contextlib.contextmanager
def parent(script: str, *arguments: str | Path, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process that starts an engine and first prints its process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", START + textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def first_pid(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        pytest.fail(process.communicate()[1])
    return int(line)


IN_MAIN_THREAD = "async def main():\n    engine = await start()\n    await asyncio.sleep(60)\nasyncio.run(main())"
IN_OTHER_THREAD = (
    "async def main():\n    engine = await start()\n    await asyncio.sleep(60)\n"
    "thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)\nthread.start()\ntime.sleep(60)"
)


@pytest.mark.parametrize(
    ("script", "number"),
    [
        (IN_MAIN_THREAD, signal.SIGKILL),
        pytest.param(IN_OTHER_THREAD, signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param(IN_MAIN_THREAD, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(IN_OTHER_THREAD, signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_no_orphan_when_the_parent_is_killed(tiny: Path, script: str, number: signal.Signals) -> None:
    with parent(script, tiny) as process:
        pid = first_pid(process)
        assert is_running(pid)
        process.send_signal(number)
        assert ends(pid)


@pytest.mark.slow
def test_no_orphan_when_a_fork_of_the_parent_lives_on(tiny: Path) -> None:
    """The fork holds a copy of the engine's input, so its end alone would not tell."""
    script = """
    async def main():
        engine = await start()
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)
    threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
    time.sleep(60)
    """
    with parent(script, tiny) as process:
        pid = first_pid(process)
        try:
            assert ends(pid)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


FORKED_WHILE_LOADING = """
async def main():
    starting = asyncio.create_task(start())
    while not os.path.exists(os.environ["STUCK_PID"]):
        await asyncio.sleep(0.02)
    if os.fork() == 0:
        open(os.environ["STUCK_PID"].replace("pid", "forked"), "w").close()
        time.sleep(60)
        os._exit(0)
    await starting
asyncio.run(main())
"""


@pytest.mark.parametrize("script", [IN_MAIN_THREAD, IN_OTHER_THREAD, FORKED_WHILE_LOADING])
def test_no_orphan_when_the_parent_is_killed_while_the_model_loads(tiny: Path, tmp_path: Path, script: str) -> None:
    (tmp_path / "xllamacpp.py").write_text(STUCK)
    told = tmp_path / "pid"
    with parent(script, tiny, env={"PYTHONPATH": str(tmp_path), "STUCK_PID": str(told)}) as process:
        until_blocking(told.exists)
        pid = int(told.read_text())
        assert is_running(pid)
        if script is FORKED_WHILE_LOADING:
            until_blocking((tmp_path / "forked").exists)
        process.kill()
        try:
            assert ends(pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
async def test_a_start_that_hangs_can_be_given_up(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xllamacpp.py").write_text(STUCK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("STUCK_PID", str(tmp_path / "pid"))
    before = children()
    with pytest.raises(EngineStartFailed, match="not ready after 1 second"):
        async with Engine(tiny, start_timeout=1.0):
            pass
    assert children() == before
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1), Engine(tiny):
            pass
    assert children() == before


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("asyncio.run(start())", marks=pytest.mark.slow),  # left without closing
        pytest.param(
            "async def main():\n    async with Engine(sys.argv[1]) as e:\n        print(e.pid, flush=True)\n"
            "        1 / 0\nasyncio.run(main())",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "async def main():\n    await start()\n    os._exit(3)\nasyncio.run(main())", marks=pytest.mark.slow
        ),
    ],
)
def test_no_orphan_when_the_parent_ends_by_itself(tiny: Path, script: str) -> None:
    with parent(script, tiny) as process:
        assert ends(first_pid(process))


@pytest.mark.slow
def test_ctrl_c_is_the_parents_to_handle(tiny: Path) -> None:
    """Ctrl-C reaches every process of the terminal's group; the engine still answers while the parent cleans up."""
    script = """
    import urllib.request
    async def main():
        engine = Engine(sys.argv[1])
        async with engine:
            print(engine.pid, flush=True)
            try:
                await asyncio.sleep(60)
            finally:
                print(urllib.request.urlopen(engine.url + "/health").status, await engine.crash(), flush=True)
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    """
    with parent(script, tiny) as process:
        pid = first_pid(process)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
        assert out.split() == ["200", "None", "interrupted"], err
        assert ends(pid)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serving_in_the_foreground_ends_in_order(tiny: Path, number: signal.Signals) -> None:
    script = """
    serve(Engine(sys.argv[1]), lambda engine: print(engine.pid, flush=True))
    print("in order", flush=True)
    """
    with parent(script, tiny) as process:
        pid = first_pid(process)
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=30)
        assert out.split() == ["in", "order"], err
        assert process.returncode == 0
        assert ends(pid)


@pytest.mark.slow
def test_a_forked_copy_of_an_engine_leaves_it_alone(tiny: Path) -> None:
    script = """
    async def main():
        engine = await start()
        child = os.fork()
        if child == 0:
            engine._runner._child.ask_to_stop(); engine._runner.kill()
            os._exit(0)
        os.waitpid(child, 0)
        print("alive" if await engine.crash() is None else "dead", flush=True)
        await engine.aclose()
    asyncio.run(main())
    """
    with parent(script, tiny) as process:
        pid = first_pid(process)
        out, err = process.communicate(timeout=30)
        assert out.split() == ["alive"], err
        assert ends(pid)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "SIGKILL"),
        pytest.param(signal.SIGSEGV, "SIGSEGV", marks=pytest.mark.slow),
        pytest.param(signal.SIGILL, "illegal", marks=pytest.mark.slow),
    ],
)
async def test_a_crash_is_told(tiny: Path, number: signal.Signals, words: str) -> None:
    async with Engine(tiny, restarts=0) as engine:
        waiting = asyncio.create_task(engine.wait())
        assert engine.pid is not None
        os.kill(engine.pid, number)
        found = await engine.crash(within=10)
        assert found is not None
        assert words in found.message
        with pytest.raises(EngineCrashed, match="The engine died"):
            await waiting
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{engine.url}/health", trust_env=False)
    assert await engine.crash() is None


@pytest.mark.slow
async def test_closing_on_purpose_is_no_crash(tiny: Path) -> None:
    engine = Engine(tiny)
    async with engine:
        waiting = asyncio.create_task(engine.wait())
        await asyncio.sleep(0)
    await waiting
    assert await engine.crash() is None


@pytest.mark.parametrize(
    "steps", [0, 10, *(pytest.param(steps, marks=pytest.mark.slow) for steps in (1, 2, 3, 5, 20, 40))]
)
async def test_a_cancelled_start_leaves_nothing(tiny: Path, steps: int) -> None:
    before = children()
    task = asyncio.create_task(Engine(tiny).__aenter__())
    for _ in range(steps):
        await asyncio.sleep(0.01)
    if not task.done():
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        await task.result().aclose()
    assert children() == before


async def test_closing_while_it_starts(tiny: Path) -> None:
    before = children()
    engine = Engine(tiny)
    task = asyncio.create_task(engine.__aenter__())
    await until(lambda: children() != before)
    await engine.aclose()
    with pytest.raises(EngineStartFailed, match="closed while it started"):
        await task
    assert children() == before


async def test_an_engine_that_nobody_holds_any_more_ends(tiny: Path) -> None:
    engine = await Engine(tiny).__aenter__()
    assert engine.pid is not None
    pid = engine.pid
    with pytest.warns(ResourceWarning, match="unclosed Engine"):
        del engine
    gc.collect()
    assert await asyncio.to_thread(ends, pid)


async def generation(engine: Engine, tokens: int) -> httpx.Response:
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": "Go on."}], "max_tokens": tokens, "stream": False}
    headers = {"Authorization": f"Bearer {engine.key}"}
    async with httpx.AsyncClient(base_url=engine.url, headers=headers, timeout=60, trust_env=False) as http:
        return await http.post("/v1/chat/completions", json=asked)


async def is_busy(engine: Engine) -> bool:
    async with httpx.AsyncClient(base_url=engine.url, trust_env=False) as http:
        slots = (await http.get("/slots", headers={"Authorization": f"Bearer {engine.key}"})).json()
    return any(slot["is_processing"] for slot in slots)


async def test_a_running_answer_gets_its_grace(chatty: Path) -> None:
    engine = Engine(chatty, grace=60)
    async with engine:
        running = asyncio.create_task(generation(engine, 400))
        while not await is_busy(engine):
            await asyncio.sleep(0.01)
    answer = await running
    assert answer.status_code == 200
    assert answer.json()["usage"]["completion_tokens"] == 400


@pytest.mark.parametrize("cancelled", [True, pytest.param(False, marks=pytest.mark.slow)])
async def test_an_endless_answer_does_not_keep_the_engine(chatty: Path, cancelled: bool) -> None:
    before = children()
    engine = Engine(chatty, grace=60 if cancelled else 0, context=100_000)
    await engine.__aenter__()
    running = asyncio.create_task(generation(engine, 90_000))
    while not await is_busy(engine):
        await asyncio.sleep(0.01)
    if cancelled:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):  # the answer takes far longer
                await engine.aclose()
    else:
        await engine.aclose()
    assert children() == before
    with pytest.raises(httpx.HTTPError):
        await running


@pytest.mark.slow
async def test_a_storm_of_starts_and_kills_leaves_nothing(tiny: Path) -> None:
    before = children()

    async def one(number: int) -> None:
        engine = Engine(tiny)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2 * (number % 8) + 0.05), engine:
                if number % 3 == 0 and engine.pid is not None:
                    os.kill(engine.pid, signal.SIGKILL)
                    assert await engine.crash(within=10) is not None
                await asyncio.sleep(1)

    for first in range(0, 24, 4):
        await asyncio.gather(*(one(number) for number in range(first, first + 4)))
    assert children() == before
