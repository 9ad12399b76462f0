"""The endpoint that clients are measured against: raw asyncio, in a process of its own, nothing but loopback.

Paths: `/plain/v1/chat/completions` answers with one completion of 1.2 kB, or with a stream of `CHUNKS` events, written
at once; `/number/…` with one that ends in a number, for routers to compare; `/drip/…` writes a stream's events one by
one. As real servers do, the end of a stream's body follows `[DONE]` a moment later. `/connections` tells how many
connections there have been that sent chats.
"""

from __future__ import annotations

import asyncio
import json
import sys

CHUNKS = 500
"""Events of a stream before `[DONE]`: one with the role, the text, the finish reason, the usage."""
PROMPT, COMPLETION = 11, 160
STREAMED_TOKENS = 994
"""Tokens of `STREAMED` as V3.1 counts them: a client that checks a host's usage replaces a smaller number."""
WORDS = [f" word{number}" for number in range(CHUNKS - 3)]
ANSWER = "".join(WORDS)[:780]
STREAMED = "".join(WORDS)
_HEAD = {"id": "chatcmpl-0123456789abcdef", "created": 1757505600, "model": "deepseek-ai/DeepSeek-V3.1"}
_TAIL_SECONDS = 0.002


def _usage(completion: int) -> dict[str, object]:
    return {
        "prompt_tokens": PROMPT,
        "completion_tokens": completion,
        "total_tokens": PROMPT + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def _completion(text: str) -> bytes:
    message = {"role": "assistant", "content": text, "reasoning_content": None, "tool_calls": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = json.dumps({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _usage(COMPLETION)}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def _chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    return _event({**_HEAD, "object": "chat.completion.chunk", "choices": choices})


def _event(body: dict[str, object]) -> bytes:
    return _framed(b"data: %s\n\n" % json.dumps(body, separators=(",", ":")).encode())


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


PLAIN = _completion(ANSWER)
NUMBER = _completion(ANSWER[:760] + "\n\nThe answer is 42.")
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENTS = [
    _chunk({"role": "assistant", "content": ""}),
    *(_chunk({"content": word}) for word in WORDS),
    _chunk({}, "stop"),
    _event({**_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": _usage(STREAMED_TOKENS)}),
]
DONE, TAIL = _framed(b"data: [DONE]\n\n"), b"0\r\n\r\n"
AT_ONCE = STREAM_HEAD + b"".join(EVENTS) + DONE


class Server(asyncio.Protocol):
    """One connection."""

    connections = 0
    tasks: set[asyncio.Task[None]] = set()  # noqa: RUF012

    def __init__(self) -> None:
        self._data = b""
        self._chatted = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._data += data
        while True:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if not found:
                return
            lower = head.lower()
            place = lower.find(b"content-length:")
            size = 0 if place < 0 else int(lower[place + 15 :].split(b"\r\n", 1)[0])
            if len(rest) < size:
                return
            self._data = rest[size:]
            self._answer(head, rest[:size])

    def _answer(self, head: bytes, body: bytes) -> None:
        assert self._transport is not None
        if head.startswith(b"GET /connections"):
            text = str(Server.connections).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text))
            return
        if not self._chatted:
            self._chatted = True
            Server.connections += 1
        if b'"stream":true' not in body.replace(b" ", b""):
            self._transport.write(NUMBER if head.startswith(b"POST /number") else PLAIN)
        elif head.startswith(b"POST /drip"):
            task = asyncio.get_running_loop().create_task(self._drip())
            Server.tasks.add(task)
            task.add_done_callback(Server.tasks.discard)
        else:
            self._transport.write(AT_ONCE)
            self._end_later()

    async def _drip(self) -> None:
        parts = [STREAM_HEAD, *EVENTS, DONE]
        for part in parts:
            if self._transport is None:
                return
            self._transport.write(part)
            await asyncio.sleep(0)
        self._end_later()

    def _end_later(self) -> None:
        asyncio.get_running_loop().call_later(_TAIL_SECONDS, self._end)

    def _end(self) -> None:
        if self._transport is not None:
            self._transport.write(TAIL)


async def main() -> None:
    """Serves until its standard input ends; prints its port first."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
