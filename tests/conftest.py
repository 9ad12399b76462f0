"""Every test runs in a home of its own, reaches nothing but loopback, and leaves nothing open behind it."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import pytest
from hypothesis import settings

from deepthrift._admission import clock
from deepthrift_pricing._ledger.queue import idle_thread

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A job in the background of a script begins with Ctrl-C ignored, and so would every program that is tested here.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("deepthrift", deadline=None)
settings.load_profile("deepthrift")

idle_thread.IDLE_SECONDS = 0.005  # every test waits for the ledger's threads to end
clock.FIRST_BACKOFF = 0.02  # of pauses that no endpoint asked for, the tests need the order, not the length

_GRACE: Final = 60.0
"""Seconds that background work, such as draining a connection, may take to end after a test."""
_SECRETS: Final = ("_API_KEY", "_TOKEN", "_PROXY")
_DATABASES: Final = (".db", ".sqlite", ".sqlite3", "-wal", "-shm")


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own ledger, models, settings and keys stay out of reach."""
    for name in list(os.environ):
        if name.startswith("DEEPTHRIFT_") or name.upper().endswith(_SECRETS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DEEPTHRIFT_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anywhere but this machine is an error: nothing phones home."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def check(sock: socket.socket, address: Any) -> None:
        if sock.family in {socket.AF_INET, socket.AF_INET6} and not str(address[0]).startswith(("127.", "::1")):
            raise AssertionError(f"a test tried to reach {address!r}; only loopback is allowed")

    def guarded(sock: socket.socket, address: Any) -> None:
        check(sock, address)
        connect(sock, address)

    def guarded_ex(sock: socket.socket, address: Any) -> int:
        check(sock, address)
        return connect_ex(sock, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_ex)


def _handles() -> set[tuple[str, str]]:
    """Open sockets and database files of this process, by number and target."""
    found: set[tuple[str, str]] = set()
    if not sys.platform.startswith("linux"):
        return found
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  # three times a test, and pathlib takes ten times as long
        try:
            target = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
        except OSError:
            continue
        if target.startswith("socket:") or target.removesuffix(" (deleted)").endswith(_DATABASES):
            found.add((name, target))
    return found


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if not thread.name.startswith("pytest")}


@pytest.fixture(autouse=True)
def _nothing_left_open(request: pytest.FixtureRequest) -> Iterator[None]:
    """No socket, database file or thread outlives the test that opened it.

    Tests of the embedded engine share one engine for the whole session, so they are left out.
    """
    handles, threads = _handles(), _threads()
    yield
    if request.node.get_closest_marker("engine") is not None:
        return
    end, pause = time.monotonic() + _GRACE, 0.01
    while (_handles() - handles or _threads() - threads) and time.monotonic() < end:
        if pause > 0.05:  # most threads end by themselves
            gc.collect()
        time.sleep(pause)
        pause = min(2 * pause, 1.0)
    left = sorted(target for _, target in _handles() - handles)
    assert not left, f"left open: {left}"
    running = sorted(thread.name for thread in _threads() - threads)
    assert not running, f"threads still running: {running}"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Asynchronous tests also have to leave no task behind."""
    if not isinstance(item, pytest.Function) or hasattr(item.obj, "hypothesis"):
        return
    if inspect.iscoroutinefunction(item.obj):
        item.obj = _without_leaked_tasks(item.obj)


def _without_leaked_tasks(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def checked(*args: Any, **kwargs: Any) -> None:
        before = asyncio.all_tasks()
        await test(*args, **kwargs)
        end = time.monotonic() + _GRACE
        while (left := asyncio.all_tasks() - before) and time.monotonic() < end:
            await asyncio.sleep(0.01)
        assert not left, f"tasks still running: {sorted(str(task.get_coro()) for task in left)}"

    return checked
