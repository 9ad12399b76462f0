"""A server that writes exactly the bytes it is told to: for what a well-behaved one never does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

Step: TypeAlias = bytes | float | None
"""Bytes to write, seconds to wait, or `None` to wait until the client leaves."""
Script: TypeAlias = Sequence[Step] | Callable[[int], Sequence[Step]]
"""The steps of every answer, or of the one with this number."""


@dataclass
class RawServer:
    url: str
    connections: int = 0
    open: int = 0
    requests: list[bytes] = field(default_factory=list)
    left: int = 0
    """Clients that left before their answer was complete."""


def stream_head(*, length: int | None = None, kind: str = "text/event-stream") -> bytes:
    size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{size}\r\n\r\n".encode()


def part(data: bytes) -> bytes:
    """One piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


END = b"0\r\n\r\n"


def plain(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


@asynccontextmanager
async def raw_server(script: Script) -> AsyncIterator[RawServer]:
    tasks: set[asyncio.Task[None]] = set()
    server = RawServer("")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        server.open += 1
        try:
            while (request := await _request(reader)) is not None:
                server.requests.append(request)
                steps = script(len(server.requests) - 1) if callable(script) else script
                if not await _play(steps, reader, writer):
                    server.left += 1
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            server.left += 1
        finally:
            server.open -= 1
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    try:
        yield server
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _request(reader: asyncio.StreamReader) -> bytes | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    return head + await reader.readexactly(length)


async def _play(steps: Sequence[Step], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    for step in steps:
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
            continue
        try:
            async with asyncio.timeout(step):
                if not await reader.read(1):
                    return False
        except TimeoutError:
            pass
    return True
