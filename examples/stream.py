"""Watch the model think: reasoning and answer arrive as typed events, the cost comes with the end.

    python examples/stream.py "How many primes are below 1,000?"

DEEPTHRIFT_URL names the endpoint, http://localhost:8000/v1 unless set.
"""

from __future__ import annotations

import asyncio
import os
import sys

from deepthrift import AsyncClient, ReasoningDelta, TextDelta

URL = os.environ.get("DEEPTHRIFT_URL", "http://localhost:8000/v1")
DIM, PLAIN = ("\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "")


async def main(question: str) -> None:
    async with (
        AsyncClient(URL, host="vllm", model="deepseek-ai/DeepSeek-V3.1", prices="brief") as client,
        client.stream(question, mode="thinking", max_tokens=2048) as stream,
    ):
        answering = False
        async for event in stream:
            match event:
                case ReasoningDelta(text=text):
                    print(f"{DIM}{text}{PLAIN}", end="", flush=True)
                case TextDelta(text=text):
                    print(text if answering else f"\n\n{text}", end="", flush=True)
                    answering = True
                case _:
                    pass
        reply = stream.reply
    print(f"\n{reply.usage.reasoning_tokens} of {reply.usage.completion_tokens} tokens were reasoning; {reply.cost}")


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "How many primes are below 1,000?"))
