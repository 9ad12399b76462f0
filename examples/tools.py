"""Python functions that the model calls until it has its answer.

    python examples/tools.py

Names, types and docstrings are all that a tool needs. Calls of one round run at once, what goes wrong is told to the
model, and rounds and spend are limited.

DEEPTHRIFT_URL names the endpoint, http://localhost:8000/v1 unless set.
"""

from __future__ import annotations

import asyncio
import os

from deepthrift import AsyncClient
from deepthrift.tools import ToolStarted

URL = os.environ.get("DEEPTHRIFT_URL", "http://localhost:8000/v1")
DEGREES = {"Paris": 14, "Rome": 21}


def temperature(city: str) -> int:
    """The temperature in a city at this moment.

    Args:
        city: Its English name.

    Returns:
        Degrees Celsius.
    """
    return DEGREES[city]


async def main() -> None:
    async with AsyncClient(URL, host="vllm", model="deepseek-ai/DeepSeek-V3.1", prices="brief") as client:
        reply = await client.run_tools(
            "Where is it warmer, in Paris or in Rome, and by how much?",
            tools=[temperature],
            max_tokens=512,
            max_rounds=4,
            max_spend="0.01",
            on_event=lambda event: print(f"calling {event.call.name}") if isinstance(event, ToolStarted) else None,
        )
    for result in reply.results:
        print(f"{result.call.arguments} -> {result.text}")
    print(reply.text)
    print(f"{reply.rounds} rounds, {reply.cost}")


if __name__ == "__main__":
    asyncio.run(main())
