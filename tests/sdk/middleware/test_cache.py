"""The response cache: what it keeps, what it never keeps, for how long, and for whom."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift import AsyncClient, Client
from deepthrift.errors import BadRequest, ConfigurationError, StreamInterrupted
from deepthrift.middleware import ResponseCache
from deepthrift.middleware._cache import is_complete
from deepthrift.middleware._store import Store
from deepthrift_pricing import Ledger
from tests.support.bill_server import Answer, BillServer, Failure, Received
from tests.support.doors import Door, ask, booked, every_door, settings, through_async


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ResponseCache]:
    with ResponseCache(tmp_path / "cache.db") as opened:
        yield opened


def numbered(request: Received) -> Answer:
    return Answer(f"Answer {request.number}.", tool_calls=())


@every_door
async def test_the_same_request_is_answered_from_the_file_at_no_cost(door: Door, cache: ResponseCache) -> None:
    ledger = Ledger.open("memory:")
    client: dict[str, Any] = {"middleware": [cache], "ledger": ledger}
    async with BillServer(numbered) as server:
        first = await ask(door, server, "Why?", mode="thinking", client=client, max_tokens=50)
        again = await ask(door, server, "Why?", mode="thinking", client=client, max_tokens=50)
        assert (first.cached, again.cached) == (False, True)
        assert (again.text, again.reasoning, again.mode) == (first.text, first.reasoning, "thinking")
        assert (again.cost.amount, again.cost.certainty, again.usage.total_tokens) == (0, "exact", 0)
        assert again.attempts[0].status == "released"
        assert len(server.requests) == 1
        assert booked(ledger) == server.bill.total
        for other in ({"max_tokens": 51}, {"mode": "standard"}, {"temperature": 0.5}, {"purpose": "sample"}):
            call: dict[str, Any] = {"mode": "thinking", "max_tokens": 50, **other}
            assert not (await ask(door, server, "Why?", client=client, **call)).cached
        assert len(server.requests) == 5


@every_door
async def test_tool_calls_are_replayed(door: Door, cache: ResponseCache) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    async with BillServer(Answer("", tool_calls=[("f", '{"a": 1}')])) as server:
        for cached in (False, True):
            reply = await ask(door, server, "Why?", tools=[tool], client={"middleware": [cache]})
            assert reply.cached is cached
            assert [(call.name, call.arguments) for call in reply.tool_calls] == [("f", '{"a": 1}')]


@every_door
@pytest.mark.parametrize(
    "behaviour",
    [Failure(400), Answer(""), Answer("one two three"), Answer("Cut", finish_reason="insufficient_system_resource")],
    ids=["refusal", "blank", "cut by max_tokens", "cut by the host"],
)
async def test_what_is_no_whole_answer_is_not_kept(door: Door, behaviour: Any, cache: ResponseCache) -> None:
    async with BillServer(behaviour) as server:
        for _ in range(2):
            try:
                reply = await ask(door, server, "Why?", max_tokens=2, client={"middleware": [cache]})
            except BadRequest:
                continue
            assert not reply.cached
        assert len(server.requests) == 2
        assert len(cache) == 0


async def test_a_stream_that_broke_or_was_left_is_not_kept(cache: ResponseCache) -> None:
    async with (
        BillServer([Answer("one two three", cut_after=2), Answer("one two three", stall_after=1)]) as server,
        AsyncClient(**settings(server, middleware=[cache])) as client,
    ):
        with pytest.raises(StreamInterrupted):
            await through_async(client, "Why?", streamed=True)
        async with client.stream("Why?") as stream:
            async for event in stream:
                if getattr(event, "text", None):
                    break
        await server.wait_quiet()
        assert len(cache) == 0


def test_the_file_is_its_owners_alone_and_holds_no_question(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    path.touch(0o644)
    with BillServer(Answer("Paris.")) as server, ResponseCache(path) as cache:
        with Client(**settings(server, middleware=[cache], api_key="sk-secret-0123456789")) as client:
            client.chat("What of the zebra?")
            assert len(cache) == 1
            held = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
        assert b"Paris." in held
        assert b"zebra" not in held
        assert b"secret" not in held


def test_answers_grow_old_and_the_oldest_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("deepthrift.middleware._store.time.time", lambda: now)
    store = Store(tmp_path / "cache.db", ttl=60.0, max_bytes=100)
    for number in range(5):
        now += 1
        store.put(b"%d" % number, b"x" * 30, "text")
    assert [store.get(b"%d" % number) is not None for number in range(5)] == [False, False, True, True, True]
    store.put(b"huge", b"x" * 101, "text")
    assert store.get(b"huge") is None
    now += 59
    assert store.get(b"3") is None
    assert store.get(b"4") == (b"x" * 30, "text")
    store.put(b"5", b"", "text")
    assert store.count() == 2
    store.clear()
    assert store.count() == 0
    store.close()
    store.close()
    store.put(b"6", b"y", "text")
    assert store.get(b"6") == (b"y", "text")
    store.close()


def _write(path: str, number: int) -> None:
    store = Store(Path(path), 60.0, 2**20, patience=30.0)
    for each in range(20):
        store.put(b"%d-%d" % (number, each), b"body", "text")
    assert store.count() >= 20
    store.close()


@pytest.mark.slow
def test_processes_share_it(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    context = multiprocessing.get_context("spawn")
    crowd = [context.Process(target=_write, args=(str(path), number)) for number in range(3)]
    for process in crowd:
        process.start()
    for process in crowd:
        process.join(60)
    assert [process.exitcode for process in crowd] == [0, 0, 0]
    store = Store(path, 60.0, 2**20)
    assert store.count() == 60
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_after_a_fork_has_its_own_connection(cache: ResponseCache, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache.db", 60.0, 2**20)
    store.put(b"0", b"body", "text")
    child = os.fork()
    if child == 0:
        os._exit(7 if store.get(b"0") == (b"body", "text") else 8)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert store.get(b"0") == (b"body", "text")
    store.close()


async def test_a_file_that_fails_is_a_miss_and_never_an_error(
    cache: ResponseCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocker = sqlite3.connect(tmp_path / "cache.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    async with BillServer(Answer("Paris.")) as server:
        with caplog.at_level(logging.WARNING, "deepthrift.cache"):
            reply = await ask("async", server, "Why?", client={"middleware": [cache]})
        assert reply.text == "Paris."
        assert "passed over" in caplog.text
    blocker.execute("ROLLBACK")
    blocker.close()
    assert len(cache) == 0


def test_what_is_something_else_is_left_alone(tmp_path: Path) -> None:
    text, database = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_text("These are my notes, and no database at all." * 20)
    other = sqlite3.connect(database)
    other.execute("CREATE TABLE mine (a)")
    other.close()
    before = text.read_bytes(), database.read_bytes()
    for path in (text, database, tmp_path / "no" / "folder.db"):
        with pytest.raises(ConfigurationError, match="response cache"):
            ResponseCache(path)
    assert (text.read_bytes(), database.read_bytes()) == before
    for wrong in ({"ttl": 0}, {"max_bytes": 0}):
        with pytest.raises(ConfigurationError, match="positive"):
            ResponseCache(tmp_path / "cache.db", **wrong)


@given(
    st.binary(max_size=80)
    | st.recursive(st.none() | st.text(max_size=3), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_garbage_is_never_a_whole_answer(body: bytes) -> None:
    assert not is_complete(body)
