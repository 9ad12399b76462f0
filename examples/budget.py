"""A hard budget under concurrency: however many calls start at once, the spend never passes the limit.

    python examples/budget.py

DEEPTHRIFT_URL names the endpoint, http://localhost:8000/v1 unless set.

Each call reserves its worst case before it is sent. A call that does not fit now waits while others may still free some
room, and is refused, unsent, once it can no longer fit.
"""

from __future__ import annotations

import asyncio
import os

from deepthrift import AsyncClient
from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Budget, Ledger, Money

URL = os.environ.get("DEEPTHRIFT_URL", "http://localhost:8000/v1")
LIMIT = "0.0001"
CALLS = 40


async def ask(client: AsyncClient, number: int) -> Money | None:
    """The cost of one call, or `None` if the budget refused it."""
    try:
        reply = await client.chat(f"Is {number} even?", mode="standard", max_tokens=100, tags={"example": "budget"})
    except BudgetExceeded:
        return None
    return reply.cost.total


async def main() -> None:
    # "memory:" forgets; "sqlite:///spend.db" keeps the ledger and is shared by all processes that open it.
    with Ledger.open("memory:", budgets=[Budget(LIMIT, per="day")]) as ledger:
        async with AsyncClient(
            URL, host="vllm", model="deepseek-ai/DeepSeek-V3.1", prices="brief", ledger=ledger
        ) as client:
            costs = await asyncio.gather(*(ask(client, number) for number in range(CALLS)))
        paid = [cost for cost in costs if cost is not None]
        print(f"{len(paid)} of {CALLS} calls were answered for {Money.sum(paid)}; the limit is {LIMIT} USD")
        for status in ledger.budget_status():
            print(f"spent {status.spent}, reserved {status.reserved}, left {status.left}")


if __name__ == "__main__":
    asyncio.run(main())
