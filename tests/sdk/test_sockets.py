"""Sockets of our own: addresses by turns, flow control both ways, and nothing left open."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpcore
import pytest

from deepthrift._net.addresses import connected
from deepthrift._net.sockets import Sockets
from tests.sdk.raw_server import raw_server, stream_head
from tests.support.ports import dead_port
from tests.support.waiting import turns, until


def names(monkeypatch: pytest.MonkeyPatch, *ports: int, slow: int | None = None) -> None:
    """Let `two.example` have an address for each of `ports`; connecting to `slow` never ends."""
    loop = asyncio.get_running_loop()
    really = loop.sock_connect

    async def addresses(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]

    async def connect(sock: socket.socket, address: Any) -> None:
        if address[1] == slow:
            await asyncio.Event().wait()
        await really(sock, address)

    monkeypatch.setattr(loop, "getaddrinfo", addresses)
    monkeypatch.setattr(loop, "sock_connect", connect)


async def test_a_name_whose_first_address_refuses_or_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server([b""]) as server:
        good, bad = int(server.url.split(":")[2].split("/")[0]), dead_port()
        for first, slow in ((bad, None), (bad, bad)):
            with monkeypatch.context() as patched:
                names(patched, first, good, slow=slow)
                sock = await connected("two.example", 80)
            assert sock.getpeername()[1] == good
            sock.close()


async def test_no_address_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, dead_port(), dead_port())
    with pytest.raises(OSError, match="; "):
        await connected("two.example", 80)
    with pytest.raises(httpcore.ConnectError):
        await Sockets().connect_tcp("127.0.0.1", dead_port())


async def test_giving_up_in_the_middle_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server([b""]) as server:
        good, bad = int(server.url.split(":")[2].split("/")[0]), dead_port()
        names(monkeypatch, bad, good, slow=bad)
        for seconds in (0.0, 0.01, 0.249, 0.25, 0.251, 0.26):
            try:
                async with asyncio.timeout(seconds):
                    (await connected("two.example", 80)).close()
            except TimeoutError:
                pass
    names(monkeypatch, bad, bad, slow=bad)
    with pytest.raises(httpcore.ConnectTimeout):
        await Sockets().connect_tcp("two.example", 80, timeout=0.01)


async def test_a_fast_server_is_held_back_and_nothing_is_lost() -> None:
    size = 3 * 2**20
    async with raw_server([stream_head(length=size), bytes(range(256)) * (size // 256), None]) as server:
        port = int(server.url.split(":")[2].split("/")[0])
        stream = await Sockets().connect_tcp("127.0.0.1", port)
        await stream.write(b"GET /v1 HTTP/1.1\r\nhost: x\r\n\r\n")
        await stream.write(b"")
        wire: Any = stream._wire  # type: ignore[attr-defined]
        await until(lambda: wire.full)
        await turns()
        assert wire.size < 2**20
        got = b""
        while len(got) < size:
            part = await stream.read(10_000)
            assert 0 < len(part) <= 10_000
            got += part
        assert got.endswith(bytes(range(256)) * 1000)
        assert not wire.full
        with pytest.raises(httpcore.ReadTimeout):
            await stream.read(1, timeout=0.01)
        await stream.aclose()
        with pytest.raises(httpcore.WriteError):
            await stream.write(b"x")
        assert await stream.read(1) == b""


async def test_head_and_body_leave_together() -> None:
    async with raw_server([b""]) as server:
        port = int(server.url.split(":")[2].split("/")[0])
        stream = await Sockets().connect_tcp("127.0.0.1", port)
        wire: Any = stream._wire  # type: ignore[attr-defined]
        written: list[bytes] = []
        really = wire.transport
        wire.transport = Told(really, written)
        await stream.write(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n")
        assert not written
        await stream.write(b"ab")
        await stream.write(b"x" * 100_000)
        await stream.write(b"head")
        await stream.write(b"y" * 100_000)
        await stream.write(b"last")
        await stream.write(b"")
        assert [len(part) for part in written] == [40, 100_000, 4, 100_000, 4]
        wire.transport = really
        await stream.aclose()


class Told:
    """A transport that tells what is written."""

    def __init__(self, really: asyncio.Transport, written: list[bytes]) -> None:
        self._really = really
        self._written = written

    def write(self, data: bytes) -> None:
        self._written.append(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._really, name)
