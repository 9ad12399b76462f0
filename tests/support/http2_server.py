"""A server on loopback that speaks HTTP/2 over TLS, and remembers what clients did to their streams."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import trustme

from tests.support.waiting import turns

Behaviour: TypeAlias = Literal["answer", "stream", "hang", "stall", "refuse", "reset", "go away", "drop"]
"""`stall` streams three words and stands still; `go away` refuses and says that the connection ends."""


@dataclass
class Http2Server:
    authority: trustme.CA
    script: Callable[[int], Behaviour] = lambda _: "answer"
    most_streams: int = 100
    impatient: bool = False
    """Whether every request is refused at its head, and its body left unread."""
    url: str = ""
    connections: int = 0
    open: int = 0
    requests: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    resets: list[int] = field(default_factory=list)
    """Codes of the streams that clients have reset."""
    peak: int = 0


def _chunk(**delta: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


END = (
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":3}}\n\ndata: [DONE]\n\n'
)
WHOLE = (
    b'{"choices":[{"message":{"content":"Paris."},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":1}}'
)


class _Connection:
    def __init__(self, server: Http2Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server, self.reader, self.writer = server, reader, writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.bodies: dict[int, bytes] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    async def run(self) -> None:
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.server.most_streams})
        self.flush()
        try:
            while data := await self.reader.read(65536):
                for event in self.h2.receive_data(data):
                    self.take(event)
                self.flush()
        finally:
            for task in self.tasks.values():
                task.cancel()
            await asyncio.gather(*self.tasks.values(), return_exceptions=True)

    def take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self.server.requests.append(dict(event.headers))  # type: ignore[arg-type]
                self.bodies[event.stream_id] = b""
                self.server.peak = max(self.server.peak, len(self.bodies))
                if self.server.impatient:
                    self.h2.send_headers(event.stream_id, [(":status", "413")])
                    self.h2.send_data(event.stream_id, b'{"error": {"message": "too long"}}', end_stream=True)
                    self.bodies.pop(event.stream_id)
            case h2.events.DataReceived() if event.stream_id in self.bodies:
                self.bodies[event.stream_id] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.DataReceived():
                self.h2.increment_flow_control_window(event.flow_controlled_length)  # of the connection alone
            case h2.events.StreamEnded() if event.stream_id in self.bodies:
                self.server.bodies.append(self.bodies[event.stream_id])
                what = self.server.script(len(self.server.bodies) - 1)
                self.tasks[event.stream_id] = asyncio.create_task(self.answer(event.stream_id, what))
            case h2.events.StreamReset():
                self.server.resets.append(int(event.error_code))
                self.bodies.pop(event.stream_id, None)
                if event.stream_id in self.tasks:
                    self.tasks[event.stream_id].cancel()
            case _:
                pass

    async def answer(self, stream_id: int, what: Behaviour) -> None:
        if what == "refuse":
            self.h2.reset_stream(stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
        elif what == "reset":
            self.h2.reset_stream(stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
        elif what == "go away":
            self.h2.close_connection(last_stream_id=0)
        elif what == "drop":
            self.writer.transport.abort()
            return
        elif what == "answer":
            self.head(stream_id, "application/json")
            await self.data(stream_id, WHOLE)
            self.h2.end_stream(stream_id)
        elif what in ("stream", "stall"):
            self.head(stream_id, "text/event-stream")
            for _ in range(3):
                await self.data(stream_id, _chunk(content=" the"))
                await asyncio.sleep(0)
            if what == "stall":
                await asyncio.sleep(60)
            await self.data(stream_id, END)
            self.h2.end_stream(stream_id)
        self.flush()
        if what not in ("hang", "stall"):
            self.bodies.pop(stream_id, None)

    def head(self, stream_id: int, kind: str) -> None:
        self.h2.send_headers(stream_id, [(":status", "200"), ("content-type", kind)])

    async def data(self, stream_id: int, data: bytes) -> None:
        while self.h2.local_flow_control_window(stream_id) < len(data):
            await asyncio.sleep(0.001)
        self.h2.send_data(stream_id, data)
        self.flush()


@asynccontextmanager
async def http2_server(server: Http2Server, *, protocols: tuple[str, ...] = ("h2",)) -> AsyncIterator[Http2Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.authority.issue_cert("127.0.0.1").configure_cert(context)
    context.set_alpn_protocols(list(protocols))
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        server.open += 1
        try:
            await _Connection(server, reader, writer).run()
        except (OSError, h2.exceptions.ProtocolError):
            pass
        finally:
            server.open -= 1
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listening = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    server.url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    try:
        yield server
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await turns()
