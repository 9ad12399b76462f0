"""One question, one priced answer.

    python examples/first_call.py "What is the capital of France?"
    DEEPTHRIFT_URL=http://localhost:8000/v1 python examples/first_call.py

With DEEPTHRIFT_URL the question goes to that OpenAI-compatible endpoint (vLLM, llama.cpp, …); without, to the embedded
engine, which needs `deepthrift[local]` and fetches its small model once.
"""

from __future__ import annotations

import asyncio
import os
import sys

from deepthrift import AsyncClient


def client() -> AsyncClient:
    """A client for the endpoint in the environment, else for the embedded engine."""
    url = os.environ.get("DEEPTHRIFT_URL")
    if url is None:
        return AsyncClient.local()
    # The `brief` prices tell the modes apart; put your own price book here.
    return AsyncClient(url, host="vllm", model="deepseek-ai/DeepSeek-V3.1", prices="brief")


async def main(question: str) -> None:
    async with client() as deepthrift:
        estimate = deepthrift.estimate(question, mode="standard", max_tokens=64)
        print(f"before: {estimate.prompt_tokens} prompt tokens, at most {estimate.worst}")
        reply = await deepthrift.chat(question, mode="standard", max_tokens=64)
        print(reply.text)
        print(f"after:  {reply.usage.total_tokens} tokens, {reply.cost}, finished by {reply.finish_reason}")


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "What is the capital of France?"))
