"""An engine that dies is started again, one that nobody asks sleeps, and neither costs a caller anything but time."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path

import pytest

from deepthrift import AsyncClient, Client
from deepthrift.errors import ConfigurationError, EngineCrashed, EngineKeepsCrashing, StreamInterrupted
from deepthrift.local import Engine
from deepthrift.local._process.crashes import Crash, History
from deepthrift_pricing import Ledger
from tests.sdk.local.processes import is_running, until
from tests.support.tiny_gguf import STANDARD_ANSWER

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them"),
]


def kill(engine: Engine, number: signal.Signals = signal.SIGKILL) -> int:
    pid = engine.pid
    assert pid is not None
    os.kill(pid, number)
    return pid


@pytest.mark.slow
async def test_a_dead_engine_is_started_again_and_told(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[EngineCrashed] = []
    engine = Engine(tiny, key="a-key-of-mine", on_crash=told.append)
    async with AsyncClient.local(engine=engine) as client:
        url = engine.url
        with caplog.at_level(logging.WARNING, "deepthrift.engine"):
            first = kill(engine)
            assert await engine.crash(within=10)
            assert (await engine.health()).status == "crashed"
            assert (await client.chat("Hi")).text == STANDARD_ANSWER
        health = await engine.health()
        assert (health.status, health.crashes, health.busy, health.slots) == ("ready", 1, 0, 1)
        assert health.pid == engine.pid != first
        assert (health.memory or 0) > 10_000_000
        assert (engine.url, engine.key) == (url, "a-key-of-mine"), "others may have been told"
    assert not is_running(health.pid or 0)
    [crash] = told
    assert (crash.exit_code, crash.out_of_memory) == (-9, False)
    assert "killed by someone (SIGKILL)" in crash.message
    assert "The engine died" in caplog.text


@pytest.mark.slow
async def test_a_death_in_the_middle_of_answers_is_blamed_and_booked(chatty: Path) -> None:
    ledger = Ledger.open("memory:")
    engine = Engine(chatty, slots=2)
    async with AsyncClient.local(engine=engine, ledger=ledger) as client:
        plain = asyncio.create_task(client.chat("Go on.", max_tokens=3000))

        async def streamed() -> None:
            async with client.stream("Go on.", max_tokens=3000) as stream:
                await anext(stream)
                while (await engine.health()).busy < 2:
                    await asyncio.sleep(0.02)
                kill(engine, signal.SIGSEGV)
                async for _ in stream:
                    pass

        with pytest.raises(EngineCrashed, match="SIGSEGV") as broken:
            await streamed()
        with pytest.raises(EngineCrashed, match="SIGSEGV") as lost:
            await plain
        assert isinstance(broken.value.__cause__, StreamInterrupted)
        assert (broken.value.exit_code, lost.value.request is None) == (-11, False)
        assert (await client.chat("Hi", max_tokens=5)).finish_reason == "length"
    cut, unknown, after = sorted(ledger.attempts(), key=lambda each: each.status == "settled" and each.error is None)
    assert {cut.status, unknown.status} == {"settled", "unknown"}, "what arrived, and nobody knows what"
    assert {cut.error, unknown.error} <= {"EngineCrashed", "StreamInterrupted"}
    assert (after.status, after.error) == ("settled", None)
    ledger.close()


@pytest.mark.slow
async def test_it_gives_up_when_it_dies_too_often(tiny: Path) -> None:
    engine = Engine(tiny, restarts=1)
    async with AsyncClient.local(engine=engine) as client:
        kill(engine)
        assert await engine.crash(within=10)
        await client.chat("Hi")
        kill(engine)
        assert await engine.crash(within=10)
        for _ in range(2):
            with pytest.raises(EngineKeepsCrashing, match=r"died 2 times within 5 minutes.*not started again") as end:
                await client.chat("Hi")
            assert end.value.spend is not None
            assert end.value.spend.amount == 0, "nothing was sent"
        assert not is_running(engine.pid or 0)
    async with engine:
        assert (await engine.health()).crashes == 0, "opened anew, it may die again"


def test_old_deaths_are_forgiven() -> None:
    now = 0.0
    history = History(3, 300.0, clock=lambda: now)
    for now in (0.0, 10.0, 20.0, 301.0, 311.0, 321.0):  # noqa: B007
        history.add(Crash(-9, False, ""))
        assert history.refusal is None
    history.add(Crash(-9, True, "x"))
    assert history.total == 7
    assert "4 times" in str(history.refusal)
    assert "memory ran out" in str(history.refusal)


@pytest.mark.slow
async def test_waiting_for_the_end_starts_it_again(tiny: Path) -> None:
    engine = Engine(tiny, restarts=1)
    async with engine:
        waiting = asyncio.create_task(engine.wait())
        for crashes in (1, 2):
            pid = kill(engine)
            assert await until(lambda pid=pid: waiting.done() or engine.pid not in (None, pid))
            assert (await engine.health()).crashes == crashes
        with pytest.raises(EngineKeepsCrashing):
            await waiting


@pytest.mark.slow
async def test_an_idle_engine_sleeps_and_wakes_for_the_next_call(tiny: Path) -> None:
    engine = Engine(tiny, idle_shutdown=0.3)
    async with AsyncClient.local(engine=engine) as client:
        first = engine.pid
        for _ in range(2):
            assert await until(lambda: engine.pid is None)
            assert (await engine.health()).status == "asleep"
            assert await engine.crash(within=0) is None
            assert (await client.chat("Hi")).text == STANDARD_ANSWER
        assert first is not None
        assert not is_running(first)
    assert (engine.pid, engine.running) == (None, False)


@pytest.mark.slow
async def test_an_answer_is_no_idleness(chatty: Path) -> None:
    engine = Engine(chatty, idle_shutdown=0.2)
    async with AsyncClient.local(engine=engine) as client:
        pid = engine.pid
        async with client.stream("Go on.", max_tokens=400) as stream:
            async for _ in stream:
                await asyncio.sleep(0.005)
        assert stream.reply.usage.completion_tokens == 400
        assert stream.reply.attempts[0].error is None
        assert pid is not None


def test_one_engine_for_clients_in_several_threads_and_loops(engine: Engine) -> None:
    with Client.local(engine=engine) as one, Client.local(engine=engine) as two:
        assert one.chat("Hi").text == two.chat("Hi").text == STANDARD_ANSWER
    assert engine.running, "it was running before them"

    async def again() -> str:
        async with AsyncClient.local(engine=engine) as client:
            return (await client.chat("Hi")).text

    assert asyncio.run(again()) == STANDARD_ANSWER


@pytest.mark.parametrize("key", [None, "too-short"])
def test_the_network_needs_a_key(tiny: Path, key: str | None) -> None:
    with pytest.raises(ConfigurationError, match=r"needs a key= of 16"):
        Engine(tiny, lan=True, key=key)


@pytest.mark.slow
async def test_the_network_is_let_in_with_a_key(tiny: Path) -> None:
    engine = Engine(tiny, lan=True, key="sixteen-characters")
    async with AsyncClient.local(engine=engine) as client:
        assert engine.url.startswith("http://127.0.0.1:"), "as seen from here"
        port = int(engine.url.rpartition(":")[2])
        table = Path("/proc/net/tcp").read_text().splitlines()
        listening = [line.split()[1] for line in table[1:] if line.split()[3] == "0A"]
        assert f"00000000:{port:04X}" in listening
        assert (await client.chat("Hi")).text == STANDARD_ANSWER
