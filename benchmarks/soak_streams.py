"""Whether memory stays flat over long streams: 100 of 50,000 chunks, one after the other, through one client.

    python benchmarks/soak_streams.py [--streams 100] [--chunks 50000]

The endpoint is on loopback, in a process of its own. Every other stream thinks, every tenth is left in its middle, and
the ledger is a SQLite file with a budget. What is counted after each ten streams: resident memory, objects that the
garbage collector knows, tasks, open files and sockets. At the end, what the ledger holds is compared with what the
endpoint sent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _peers import heading, progress, table, verdict

from deepthrift import AsyncClient, Finished
from deepthrift_pricing import Budget, Ledger

MODEL = "deepseek-ai/DeepSeek-V3.1"
PROMPT = 11
IN_A_WRITE = 50
"""Events that travel together."""
EVERY = 10
"""Streams between two counts."""
ROOM_MIB, ROOM_OBJECTS = 4.0, 500
"""What counts as flat: the ledger's own caches and the allocator's arenas may still settle."""


# The endpoint

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


async def serve(chunks: int) -> None:
    """Streams of `chunks` chunks until its standard input ends; prints its port first."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                request = json.loads(await reader.readexactly(size))
                field = "reasoning" if request["chat_template_kwargs"]["thinking"] else "content"
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                many = _framed(_event({"delta": {field: " the"}}) * IN_A_WRITE)
                for _ in range((chunks - 1) // IN_A_WRITE):
                    writer.write(many)
                    await writer.drain()
                usage = {"prompt_tokens": PROMPT, "completion_tokens": chunks, "total_tokens": PROMPT + chunks}
                last = _event({"delta": {"content": " end"}, "finish_reason": "stop"}, usage)
                writer.write(_framed(last + b"data: [DONE]\n\n") + b"0\r\n\r\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


def _event(choice: dict[str, object], usage: dict[str, int] | None = None) -> bytes:
    body = {"id": "c", "object": "chat.completion.chunk", "model": MODEL, "choices": [{"index": 0, **choice}]}
    return b"data: %b\n\n" % json.dumps({**body, **({"usage": usage} if usage else {})}).encode()


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


# The client


class Count:
    """What this process holds now."""

    def __init__(self) -> None:
        gc.collect()
        self.mib = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        self.objects = len(gc.get_objects())
        self.tasks = len(asyncio.all_tasks())
        self.files = len(list(Path("/proc/self/fd").iterdir()))


async def one(client: AsyncClient, number: int, chunks: int) -> int:
    """Reads one stream, or half of it; how many chunks came."""
    seen = 0
    async with client.stream(
        "What is the capital of France?", mode="thinking" if number % 2 else "standard", max_tokens=chunks
    ) as stream:
        async for event in stream:
            seen += not isinstance(event, Finished)
            if number % EVERY == EVERY - 1 and seen > chunks // 2:
                break
    assert number % EVERY == EVERY - 1 or stream.reply.usage.completion_tokens == chunks
    return seen


async def run(url: str, streams: int, chunks: int, folder: str) -> None:
    with Ledger.open(f"sqlite:///{folder}/spend.db", budgets=[Budget("9000", per="day")]) as ledger:
        client = AsyncClient(url, host="vllm", model=MODEL, prices="official-2025-09-05", ledger=ledger)
        async with client:
            counts: list[tuple[int, Count]] = []
            cpu, wall, seen = time.process_time(), time.monotonic(), 0
            for number in range(streams):
                seen += await one(client, number, chunks)
                progress(f"stream {number + 1} of {streams}")
                if (number + 1) % EVERY == 0:
                    await asyncio.sleep(0.05)  # what a stream leaves to be done behind it
                    counts.append((number + 1, Count()))
            cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        progress("")
        statuses = {row.key["status"]: row.attempts for row in ledger.spend(by=("status",))}
        [budget] = ledger.budget_status()
    print(
        f"{streams} streams of {chunks:,} chunks: {seen:,} events, {cpu / seen * 1e3:.4f} ms of CPU each, {wall:.0f} s"
    )
    print(f"ledger: {statuses}, reserved {budget.reserved}\n")
    rows = [
        [str(after), f"{count.mib:.1f}", f"{count.objects:,}", str(count.tasks), str(count.files)]
        for after, count in counts
    ]
    table(["after streams", "MiB resident", "objects", "tasks", "files and sockets"], rows)
    first, last = counts[0][1], counts[-1][1]
    verdict("memory from the first ten streams to the last", last.mib - first.mib, ROOM_MIB, "MiB more")
    verdict("objects from the first ten streams to the last", last.objects - first.objects, ROOM_OBJECTS, "more")
    verdict("tasks, files and sockets", last.tasks + last.files - first.tasks - first.files, 0, "more")


def main() -> None:
    options = argparse.ArgumentParser(description="Whether memory stays flat over long streams.")
    options.add_argument("--streams", type=int, default=100)
    options.add_argument("--chunks", type=int, default=50_000)
    options.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve:
        asyncio.run(serve(given.chunks))
        return
    heading("Long streams")
    command = [sys.executable, __file__, "--serve", "--chunks", str(given.chunks)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        assert server.stdin is not None
        assert server.stdout is not None
        asyncio.run(run(f"http://127.0.0.1:{server.stdout.readline().strip()}/v1", given.streams, given.chunks, folder))
        server.stdin.close()


if __name__ == "__main__":
    main()
