"""A thousand calls at eight at once, cancelled at random, over an engine that is killed twice."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from deepthrift import AsyncClient, Reply
from deepthrift.errors import EngineCrashed
from deepthrift.local import Engine
from deepthrift_pricing import Ledger
from tests.sdk.local.processes import is_running, until
from tests.support.tiny_gguf import STANDARD_ANSWER, THINKING_ANSWER

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them"),
]

CALLS, AT_ONCE, WARM = 1_000, 8, 200
KILLS = (400, 700)
GROWTH = 24_000_000
"""Bytes by which memory may differ for other reasons than the calls: what a thousand leaked calls would show."""


def memory(pid: int | str) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_nothing_is_lost_in_a_storm(tiny: Path, tmp_path: Path) -> None:
    chance, told = random.Random(5), Counter[str]()
    replies: list[Reply] = []
    pids: set[int] = set()
    codes: set[int | None] = set()
    memories: list[int] = []
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'spend.db'}")
    engine = Engine(tiny, slots=4)
    numbers = iter(range(CALLS))

    async def call(client: AsyncClient, number: int) -> None:
        mode = "thinking" if number % 2 else "standard"
        try:
            async with asyncio.timeout(chance.uniform(0.0, 0.08) if chance.random() < 0.2 else None):
                if number % 3:
                    reply = await client.chat(f"Question {number}?", mode=mode, tags={"number": str(number)})
                else:
                    async with client.stream(f"Question {number}?", mode=mode, tags={"number": str(number)}) as stream:
                        async for _ in stream:
                            pass
                    reply = stream.reply
        except TimeoutError:
            told["cancelled"] += 1
        except EngineCrashed as crash:
            told["crashed"] += 1
            codes.add(crash.exit_code)
        else:
            told["answered"] += 1
            assert reply.text == (THINKING_ANSWER if mode == "thinking" else STANDARD_ANSWER)
            replies.append(reply)

    async def worker(client: AsyncClient) -> None:
        for number in numbers:
            if number in KILLS and engine.pid is not None:
                os.kill(engine.pid, signal.SIGKILL)
            await call(client, number)
            pids.add(engine.pid or 0)
            if number == WARM:
                gc.collect()
                memories.append(memory("self"))

    async with AsyncClient.local(engine=engine, ledger=ledger) as client:
        await asyncio.gather(*(worker(client) for _ in range(AT_ONCE)))
        assert (await client.chat("And now?")).text == STANDARD_ANSWER, "the next call works"
        health = await engine.health()
        assert (health.status, health.crashes, health.busy) == ("ready", len(KILLS), 0)
        assert (health.memory or 0) < 400_000_000
        gc.collect()
        memories.append(memory("self"))
    pids.discard(0)
    assert len(pids) == len(KILLS) + 1
    assert await until(lambda: not any(map(is_running, pids))), "no process is left"
    assert memories[1] - memories[0] < GROWTH

    assert sum(told.values()) == CALLS
    assert told["answered"] > CALLS / 2
    assert told["cancelled"] > 20
    assert codes == {-signal.SIGKILL}
    assert 0 < told["crashed"] <= AT_ONCE * len(KILLS)
    rows = {attempt.id: attempt for attempt in ledger.attempts()}
    assert Counter(row.status for row in rows.values())["reserved"] == 0, "everything that began was booked"
    assert len({row.tags["number"] for row in rows.values() if row.tags}) >= CALLS - told["cancelled"]
    for reply in replies:
        [attempt] = reply.attempts
        held = rows[attempt.id]
        assert (held.status, held.usage, held.cost) == ("settled", reply.usage, reply.cost)
        assert held.cost.certainty == "exact"
    lost = [row for row in rows.values() if row.status == "unknown"]
    assert all(row.cost.total == row.reserved for row in lost), "nobody knows what was generated, so all of it counts"
    assert {row.error for row in lost} <= {None, "EngineCrashed", "CancelledError", "TimeoutError"}
    with contextlib.closing(ledger):
        total = sum(row.cost.amount for row in rows.values())
        assert sum(row.total.amount for row in ledger.spend()) == total
