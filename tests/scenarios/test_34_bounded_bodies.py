"""34. A compressed or endless body is bounded in memory and time on every path, streamed or not."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from deepthrift import AsyncClient
from deepthrift.errors import AttemptTimeout, ResponseTooLarge, ServerError
from deepthrift.hosts import HostProfile
from deepthrift.middleware import CallNext, Request, Response
from deepthrift.testing import Recorder
from deepthrift_pricing import Ledger
from tests.sdk.raw_server import Step, part, plain, raw_server, stream_head
from tests.support.doors import ask as asked
from tests.support.doors import every_door, every_stream, settings

LIMIT = 200_000
PLAIN_START = b'{"choices":[{"message":{"content":"'
EVENT_START = b'data: {"choices":[{"delta":{"content":"'
EVENT = EVENT_START + b'word "}}]}\n\n'
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"


def packed(start: bytes, encoding: str, size: int = 50 * LIMIT) -> bytes:
    """A body that unpacks to `size` bytes of one string."""
    bits = 31 if encoding == "gzip" else 15
    squeeze = zlib.compressobj(9, zlib.DEFLATED, bits)
    return squeeze.compress(start + b"a" * size) + squeeze.flush()


def endless(head: bytes, piece: bytes) -> Sequence[Step]:
    """A chunked body without an end, as far as any client here can tell."""
    return [head, *itertools.repeat(part(piece), 8 * LIMIT // len(piece)), None]


BODIES: dict[str, Sequence[Step]] = {
    "gzip": [plain(packed(PLAIN_START, "gzip"), headers="content-encoding: gzip\r\n")],
    "gzip twice": [plain(packed(packed(PLAIN_START, "gzip"), "gzip", 0), headers="content-encoding: gzip, gzip\r\n")],
    "deflate": [plain(packed(PLAIN_START, "deflate"), headers="content-encoding: deflate\r\n")],
    "plain": endless(CHUNKED, PLAIN_START.ljust(5_000, b"a")),
    "blank": endless(CHUNKED, b"\n" * 5_000),
}
STREAMS: dict[str, Sequence[Step]] = {
    "one line in gzip": [
        plain(packed(EVENT_START, "gzip"), headers="content-encoding: gzip\r\n").replace(
            b"application/json", b"text/event-stream"
        )
    ],
    "one line": endless(stream_head(), EVENT_START.ljust(5_000, b"a")),
    "one event": endless(stream_head(), b"data: " + b"a" * 5_000 + b"\n"),
    "comments": endless(stream_head(), b": " + b"a" * 5_000 + b"\n\n"),
    "heartbeats": endless(stream_head(), b"data: {}\n\n" * 500),
    "JSON where events were asked for": BODIES["plain"],
    "JSON in gzip": BODIES["gzip"],
}  # fmt: skip


@every_door
@pytest.mark.parametrize("body", BODIES)
async def test_every_call_gives_up_at_the_limit(door: Any, body: str) -> None:
    ledger = Ledger.open("memory:")
    async with raw_server(BODIES[body]) as server:
        with pytest.raises(ResponseTooLarge, match=r"max_response_bytes=200,000") as error:
            await asked(door, server.url, "hi", max_tokens=50, client={"max_response_bytes": LIMIT, "ledger": ledger})
    assert len(server.requests) == 1, "it may be billed, so it is not asked for again"
    (attempt,) = ledger.attempts()
    assert attempt.status == "unknown"
    assert error.value.spend is not None
    assert attempt.cost.amount == error.value.spend.amount > 0
    ledger.close()


@every_stream
@pytest.mark.parametrize("body", STREAMS)
async def test_every_stream_gives_up_at_the_limit(door: Any, body: str) -> None:
    ledger = Ledger.open("memory:")
    async with raw_server(STREAMS[body]) as server:
        with pytest.raises(ResponseTooLarge) as error:
            await asked(door, server.url, "hi", max_tokens=50, client={"max_response_bytes": LIMIT, "ledger": ledger})
    (attempt,) = ledger.attempts()
    assert attempt.status == "unknown"
    assert error.value.spend is not None
    assert attempt.cost.amount == error.value.spend.amount > 0
    ledger.close()


@every_stream
async def test_a_stream_of_many_events_keeps_and_books_what_arrived(door: Any) -> None:
    ledger = Ledger.open("memory:")
    client = {"max_response_bytes": LIMIT, "ledger": ledger, "stop_beyond_max_tokens": False}
    async with raw_server(endless(stream_head(), EVENT * 100)) as server:
        with pytest.raises(ResponseTooLarge) as error:
            await asked(door, server.url, "hi", max_tokens=50, client=client)
    partial = error.value.partial
    assert partial is not None
    words = LIMIT // len(EVENT)
    assert partial.text == "word " * words
    (attempt,) = ledger.attempts()
    assert attempt.usage is not None
    assert attempt.usage.certainty == "estimated"
    assert attempt.usage.completion_tokens == pytest.approx(words, rel=0.1)
    ledger.close()


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_limit_is_the_last_byte_that_is_read(streamed: bool) -> None:
    body = json.dumps(
        {
            "choices": [{"index": 0, "message": {"content": "a" * 3_000}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 9},
        }
    ).encode()
    async with raw_server([plain(body)]) as server:
        for limit, fits in ((len(body), True), (len(body) - 1, False)):
            client = {"max_response_bytes": limit}
            door = "async stream" if streamed else "async"
            if fits:
                assert (await asked(door, server.url, "hi", client=client)).text == "a" * 3_000
            else:
                with pytest.raises(ResponseTooLarge):
                    await asked(door, server.url, "hi", client=client)


QUESTIONS: dict[str, Callable[[AsyncClient], Awaitable[object]]] = {
    "embeddings": lambda client: client.embed("hi"),
    "models": lambda client: client.models(),
    "balance": lambda client: client.balance(),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("question", QUESTIONS)
async def test_so_do_other_questions(question: str, body: str) -> None:
    host = HostProfile.named("deepseek" if question == "balance" else "vllm").model_copy(update={"embeddings": True})
    async with raw_server(BODIES[body]) as server:
        options = settings(server.url, host=host, max_response_bytes=LIMIT)
        if question == "balance":
            options["model"] = None
        async with AsyncClient(**options) as client:
            with pytest.raises(ResponseTooLarge):
                await QUESTIONS[question](client)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("endless_body", [False, True])
async def test_an_error_shows_its_beginning_whatever_follows(streamed: bool, endless_body: bool) -> None:
    words = b'{"error":{"message":"the engine failed' + b" badly" * 20_000
    head = CHUNKED.replace(b"200 OK", b"500 No")
    bomb = plain(packed(words, "gzip"), status="500 No", headers="content-encoding: gzip\r\n")
    steps = endless(head, words) if endless_body else [bomb]
    async with raw_server(steps) as server:
        with pytest.raises(ServerError, match="the engine failed") as error:
            await asked("async stream" if streamed else "async", server.url, "hi", client={"max_retries": 0})
    assert len(str(error.value)) < 1_000


@pytest.mark.parametrize("streamed", [False, True])
async def test_middleware_and_recordings_keep_to_it(streamed: bool, tmp_path: Path) -> None:
    async def passing(request: Request, call_next: CallNext) -> Response:
        return await call_next(request)

    door = "async stream" if streamed else "async"
    for name, body in (STREAMS if streamed else BODIES).items():
        async with raw_server(body) as server:
            for client in (
                {"middleware": [passing]},
                {"transport": Recorder(tmp_path / name.replace(" ", ""), mode="record")},
            ):
                with pytest.raises(ResponseTooLarge):
                    await asked(door, server.url, "hi", max_tokens=50, client={"max_response_bytes": LIMIT, **client})


async def test_a_trickle_ends_with_the_time_of_the_attempt() -> None:
    """Every byte comes within `idle_timeout`, and the end never."""
    trickle: list[Step] = [
        stream_head(),
        *itertools.chain.from_iterable((part(b": beat\n\n"), 0.02) for _ in range(500)),
    ]
    async with raw_server(trickle) as server:
        for door in ("async", "async stream"):
            with pytest.raises(AttemptTimeout):
                await asked(door, server.url, "hi", client={"timeout": 0.3, "idle_timeout": 0.2, "max_retries": 0})


MEMORY = """
import asyncio, resource, sys
from deepthrift import AsyncClient
from deepthrift.errors import DeepthriftError
from deepthrift.hosts import HostProfile

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

async def main(url, how):
    async with AsyncClient(url, host="vllm", model="m", prices="brief", max_retries=0) as client:
        before, told = peak(), ""
        try:
            if how == "plain":
                await client.chat("hi", max_tokens=10)
            else:
                async with client.stream("hi", max_tokens=10) as stream:
                    async for _ in stream:
                        pass
        except DeepthriftError as error:
            told = type(error).__name__
        print(told, peak() - before)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures the memory of a process")
@pytest.mark.parametrize("how", ["plain", "stream", "JSON for a stream"])
async def test_a_bomb_takes_no_more_memory_than_the_limit_allows(how: str) -> None:
    """512 MiB from half a megabyte, at the default limit of 64 MiB."""
    kind = "text/event-stream" if how == "stream" else "application/json"
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = squeeze.compress(EVENT_START if how == "stream" else PLAIN_START)
    body += b"".join(squeeze.compress(b"a" * 2**20) for _ in range(512)) + squeeze.flush()
    head = plain(body, headers="content-encoding: gzip\r\n").replace(b"application/json", kind.encode(), 1)
    async with raw_server([head]) as server:
        call = ["plain" if how == "plain" else "stream"]
        ran = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", textwrap.dedent(MEMORY), server.url, *call],
            capture_output=True,
            text=True,
            check=False,
        )
    told, grown = ran.stdout.split() if ran.stdout else (ran.stderr, "0")
    assert told == "ResponseTooLarge"
    assert int(grown) < 300
