"""One budget for a whole fleet: processes on any number of machines share a PostgreSQL ledger, and none overspends.

    DEEPTHRIFT_LEDGER=postgresql://user@host/database python examples/fleet_budget.py

Starts three processes, each of which asks as fast as it can until the budget refuses it. On machines of their own they
would do the same: what binds them is the ledger alone. Needs `deepthrift[postgres]`.

DEEPTHRIFT_URL names the endpoint, http://localhost:8000/v1 unless set.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from deepthrift import AsyncClient
from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import Budget, Ledger, Money

URL = os.environ.get("DEEPTHRIFT_URL", "http://localhost:8000/v1")
LEDGER = os.environ.get("DEEPTHRIFT_LEDGER", "postgresql://localhost/deepthrift")
BUDGET = Budget("0.0003", per="day", name="fleet", tags={"job": "fleet"})
WORKERS = 3
AT_ONCE = 8


def open_ledger() -> Ledger:
    """The ledger, with the budget in force; every process opens it for itself."""
    return Ledger.open(LEDGER, budgets=[BUDGET])


async def work(name: str) -> None:
    """Ask until the budget refuses, and tell as one line of JSON what was got."""
    costs: list[Money] = []

    async def ask(client: AsyncClient, number: int) -> None:
        while True:
            try:
                reply = await client.chat(f"Is {number} even?", max_tokens=100, tags={"job": "fleet", "worker": name})
            except BudgetExceeded:
                return
            costs.append(reply.cost.total)

    with open_ledger() as ledger:
        async with AsyncClient(URL, host="vllm", prices="brief", ledger=ledger) as client:
            await asyncio.gather(*(ask(client, number) for number in range(AT_ONCE)))
    print(json.dumps({"worker": name, "answers": len(costs), "spent": str(Money.sum(costs, "USD").amount)}))


async def start(name: str) -> str:
    """A process of its own that does the work; what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--worker", name, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{name} ended with {process.returncode}")
    return out.decode()


async def main() -> None:
    open_ledger().close()  # makes the tables once, before all of them come
    for line in await asyncio.gather(*(start(f"worker-{number}") for number in range(1, WORKERS + 1))):
        told = json.loads(line)
        print(f"{told['worker']}: {told['answers']} answers, {told['spent']} USD")
    with open_ledger() as ledger:
        [status] = [each for each in ledger.budget_status() if each.name == BUDGET.name]
        booked = [row for row in ledger.spend(by=("tag:worker",)) if row.key["tag:worker"]]
    total = Money.sum((row.total for row in booked), "USD")
    print(f"booked:   {sum(row.attempts for row in booked)} attempts, {total}")
    print(f"budget:   {status.spent} of {status.limit}, overspend {status.over.amount}")


if __name__ == "__main__":
    asyncio.run(work(sys.argv[2]) if sys.argv[1:2] == ["--worker"] else main())
