"""What HTTP/2 gives a user: bursts of calls through one client, over HTTP/1.1 and over HTTP/2.

    python benchmarks/http2.py [--runs 7]

Both endpoints are on loopback, with TLS, in a process of their own, and give the same short answer. A cold burst starts
with a new client, so it pays for its connections; a warm one follows on the same client. Times are CPU milliseconds of
the client per call, then wall milliseconds of the burst; both are medians of alternating runs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import trustme
from _peers import heading, table

from deepthrift import AsyncClient
from tests.support.doors import settings
from tests.support.http2_server import WHOLE, Http2Server, http2_server

BURSTS = (1, 20, 200)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


async def serve() -> None:
    """Both endpoints, until standard input ends; prints their URLs and the certificate that clients trust."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
                writer.write(HEAD % len(WHOLE) + WHOLE)

    plain = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context, backlog=1024)
    async with http2_server(Http2Server(authority, most_streams=1000)) as multiplexed:
        print(f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}/v1", multiplexed.url, flush=True)
        print(authority.cert_pem.bytes().decode(), flush=True)
        await asyncio.to_thread(sys.stdin.read)
    plain.close()


@contextlib.contextmanager
def endpoints() -> Iterator[tuple[list[str], ssl.SSLContext]]:
    """The URLs over HTTP/1.1 and HTTP/2, and a context that trusts them."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        urls = process.stdout.readline().split()
        pem = "".join(iter(process.stdout.readline, "\n"))
        try:
            yield urls, ssl.create_default_context(cadata=pem)
        finally:
            process.communicate("")


async def burst(client: AsyncClient, calls: int) -> tuple[float, float]:
    """Milliseconds of `calls` calls at once: CPU of this process per call, and wall time of all."""
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*[client.chat("Hi", max_tokens=9) for _ in range(calls)])
    return (time.process_time() - cpu) * 1000 / calls, (time.perf_counter() - wall) * 1000


async def measure(url: str, trust: ssl.SSLContext, http2: bool, calls: int) -> list[tuple[float, float]]:
    """A cold burst and a warm one."""
    async with AsyncClient(**settings(url, verify=trust, http2=http2)) as client:
        return [await burst(client, calls), await burst(client, calls)]


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve())
        return
    heading("HTTP/2 beside HTTP/1.1: the same calls over TLS on loopback")
    rows: list[list[str]] = []
    with endpoints() as (urls, trust):
        for calls in BURSTS:
            runs: list[list[list[tuple[float, float]]]] = [[], []]
            for _ in range(arguments.runs + 1):
                for http2 in (False, True):
                    runs[http2].append(asyncio.run(measure(urls[http2], trust, http2, calls)))
            for http2 in (False, True):
                cold, warm = zip(*runs[http2][1:], strict=True)
                figures = [f"{median(figure):.2f}" for half in (cold, warm) for figure in zip(*half, strict=True)]
                rows.append(["HTTP/2" if http2 else "HTTP/1.1", str(calls), *figures])
    head = ["protocol", "calls at once", "cold CPU/call", "cold wall", "warm CPU/call", "warm wall"]
    table(head, rows)


if __name__ == "__main__":
    main()
