"""The sides of `peers_client.py`: each sends the same chats to the same endpoint, and reads the same answers.

A side keeps one event loop and one client for its whole life.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _loopback_server import ANSWER, CHUNKS, COMPLETION, PROMPT, STREAMED, STREAMED_TOKENS
from _peers import serve, versions

MODEL = "deepseek-ai/DeepSeek-V3.1"
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
BODY = {"model": MODEL, "messages": MESSAGES, "max_tokens": 256}
STREAM_BODY = {**BODY, "stream": True, "stream_options": {"include_usage": True}}
KEY = "not-a-secret"


class Side:
    """One client."""

    def __init__(self, url: str) -> None:
        self.url = url

    def versions(self) -> dict[str, str]:
        """Its versions."""
        raise NotImplementedError

    async def open(self) -> None:
        """Makes the client, inside the loop."""

    async def chat(self) -> str:
        """One answer, in one piece."""
        raise NotImplementedError

    def stream(self, url: str) -> AsyncIterator[str]:
        """The pieces of one answer, read to its end as a user of this client would."""
        raise NotImplementedError

    async def check(self) -> None:
        """Raises if something was not booked as it should."""


class Deepthrift(Side):
    """AsyncClient as it comes: prompt counted, priced, reserved, validated, settled; a budget in memory."""

    store = "memory:"

    def versions(self) -> dict[str, str]:
        return versions("deepthrift", "httpx", "pydantic")

    async def open(self) -> None:
        from deepthrift import AsyncClient
        from deepthrift_pricing import Budget, Ledger

        self.ledger = Ledger.open(self.store, budgets=[Budget("9000", per="day")])
        self.clients = {
            kind: AsyncClient(
                f"{self.url}/{kind}/v1",
                host="vllm",
                model=MODEL,
                api_key=KEY,
                prices="official-2025-09-05",
                ledger=self.ledger,
            )
            for kind in ("plain", "drip")
        }
        self.sent = self.received = 0

    async def chat(self) -> str:
        self.sent, self.received = self.sent + PROMPT, self.received + COMPLETION
        return (await self.clients["plain"].chat(MESSAGES, max_tokens=256)).text

    async def stream(self, kind: str) -> AsyncIterator[str]:
        from deepthrift import TextDelta

        self.sent, self.received = self.sent + PROMPT, self.received + STREAMED_TOKENS
        async with self.clients[kind].stream(MESSAGES, max_tokens=1024) as stream:
            async for event in stream:
                if isinstance(event, TextDelta):
                    yield event.text

    async def check(self) -> None:
        from deepthrift_pricing import Money

        rows = self.ledger.spend(by=("status",))
        bill = 560_000 * self.sent + 1_680_000 * self.received  # 0.56 and 1.68 USD per million tokens, in 10⁻¹² USD
        assert [row.key["status"] for row in rows] == ["settled"], rows
        assert rows[0].total == Money(bill), (rows, bill)


class DeepthriftOnDisk(Deepthrift):
    """The same with a ledger in a SQLite file: nothing booked is lost by `kill -9`."""

    @property
    def store(self) -> str:  # type: ignore[override]
        self.folder = tempfile.TemporaryDirectory()
        return f"sqlite:///{self.folder.name}/spend.db"


class OpenAI(Side):
    """AsyncOpenAI as it comes; nothing is priced."""

    def versions(self) -> dict[str, str]:
        return versions("openai")

    async def open(self) -> None:
        from openai import AsyncOpenAI

        self.clients = {kind: AsyncOpenAI(base_url=f"{self.url}/{kind}/v1", api_key=KEY) for kind in ("plain", "drip")}

    async def chat(self) -> str:
        done = await self.clients["plain"].chat.completions.create(**BODY)
        return done.choices[0].message.content

    async def stream(self, kind: str) -> AsyncIterator[str]:
        async for chunk in await self.clients[kind].chat.completions.create(**STREAM_BODY):
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


class Litellm(Side):
    """litellm.acompletion as it comes: it prices every answer from its table; no budget."""

    def versions(self) -> dict[str, str]:
        return versions("litellm")

    async def open(self) -> None:
        import litellm

        litellm.telemetry = False
        litellm.suppress_debug_info = True
        self.acompletion = litellm.acompletion

    def settings(self, kind: str) -> dict[str, Any]:
        return {"model": "deepseek/deepseek-chat", "api_base": f"{self.url}/{kind}/v1", "api_key": KEY}

    async def chat(self) -> str:
        done = await self.acompletion(**{**BODY, **self.settings("plain")})
        assert done._hidden_params["response_cost"]
        return done.choices[0].message.content

    async def stream(self, kind: str) -> AsyncIterator[str]:
        async for chunk in await self.acompletion(**{**STREAM_BODY, **self.settings(kind)}):
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


class Httpx(Side):
    """httpx with pydantic models of one's own; nothing is priced."""

    def versions(self) -> dict[str, str]:
        return versions("httpx", "pydantic")

    async def open(self) -> None:
        import httpx
        from pydantic import BaseModel

        class Message(BaseModel):
            content: str | None = None
            reasoning_content: str | None = None

        class Choice(BaseModel):
            index: int
            message: Message | None = None
            delta: Message | None = None
            finish_reason: str | None = None

        class Usage(BaseModel):
            prompt_tokens: int
            completion_tokens: int

        class Chunk(BaseModel):
            id: str
            model: str
            choices: list[Choice]
            usage: Usage | None = None

        self.read = Chunk.model_validate_json
        self.client = httpx.AsyncClient(headers={"authorization": f"Bearer {KEY}"}, timeout=600)

    async def chat(self) -> str:
        response = await self.client.post(f"{self.url}/plain/v1/chat/completions", json=BODY)
        response.raise_for_status()
        return self.read(response.content).choices[0].message.content

    async def stream(self, kind: str) -> AsyncIterator[str]:
        url = f"{self.url}/{kind}/v1/chat/completions"
        async with self.client.stream("POST", url, json=STREAM_BODY) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line == "data: [DONE]":
                    return
                if line.startswith("data: "):
                    choices = self.read(line[6:]).choices
                    if choices and choices[0].delta.content:
                        yield choices[0].delta.content


class Aiohttp(Side):
    """aiohttp and json.loads: nothing typed, nothing validated, nothing priced."""

    def versions(self) -> dict[str, str]:
        return versions("aiohttp")

    async def open(self) -> None:
        import aiohttp

        self.session = aiohttp.ClientSession(
            headers={"authorization": f"Bearer {KEY}"}, connector=aiohttp.TCPConnector(limit=0)
        )

    async def chat(self) -> str:
        async with self.session.post(f"{self.url}/plain/v1/chat/completions", json=BODY) as response:
            response.raise_for_status()
            return json.loads(await response.read())["choices"][0]["message"]["content"]

    async def stream(self, kind: str) -> AsyncIterator[str]:
        async with self.session.post(f"{self.url}/{kind}/v1/chat/completions", json=STREAM_BODY) as response:
            response.raise_for_status()
            async for line in response.content:
                if line == b"data: [DONE]\n":
                    return
                if line.startswith(b"data: "):
                    choices = json.loads(line[6:])["choices"]
                    if choices and choices[0]["delta"].get("content"):
                        yield choices[0]["delta"]["content"]


SIDES: dict[str, type[Side]] = {
    "deepthrift": Deepthrift,
    "deepthrift, ledger in a file": DeepthriftOnDisk,
    "openai": OpenAI,
    "litellm": Litellm,
    "httpx + pydantic": Httpx,
    "aiohttp + json (floor)": Aiohttp,
}


class Bench:
    """Runs one side's calls in its loop."""

    def __init__(self, side: Side, runner: asyncio.Runner) -> None:
        self.side = side
        self.runner = runner
        runner.run(side.open())

    def versions(self) -> Mapping[str, object]:
        return self.side.versions()

    def chats(self, calls: int, at_once: int) -> Mapping[str, object]:
        """CPU and wall-clock seconds of `calls` calls, `at_once` of them under way at any moment."""
        return self.runner.run(self._timed(self._chats, calls, at_once))

    def streams(self, kind: str, streams: int) -> Mapping[str, object]:
        """The same for streams, one after the other."""
        return {**self.runner.run(self._timed(self._streams, kind, streams)), "chunks": CHUNKS * streams}

    def check(self) -> Mapping[str, object]:
        self.runner.run(self.side.check())
        return {}

    async def _timed(self, work: Callable[..., Any], *arguments: object) -> dict[str, float]:
        gc.collect()
        gc.freeze()
        cpu, wall = time.process_time(), time.perf_counter()
        await work(*arguments)
        wall = time.perf_counter() - wall
        await asyncio.sleep(0.02)  # what a client leaves to be done behind the call belongs to it
        return {"cpu": time.process_time() - cpu, "wall": wall}

    async def _chats(self, calls: int, at_once: int) -> None:
        turns = iter(range(calls))

        async def caller() -> None:
            for _ in turns:
                if await self.side.chat() != ANSWER:
                    raise ValueError("that is not the answer")

        await asyncio.gather(*(caller() for _ in range(at_once)))

    async def _streams(self, kind: str, streams: int) -> None:
        for _ in range(streams):
            if "".join([piece async for piece in self.side.stream(kind)]) != STREAMED:
                raise ValueError("that is not the answer")


def main() -> None:
    with asyncio.Runner() as runner:
        bench = Bench(SIDES[sys.argv[1]](os.environ["BENCHMARK_URL"]), runner)
        names = ("versions", "chats", "streams", "check")
        serve({name: getattr(bench, name) for name in names})


if __name__ == "__main__":
    main()
