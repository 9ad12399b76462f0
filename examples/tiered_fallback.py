"""Standard mode first, thinking only when the answer fails a check of yours.

    python examples/tiered_fallback.py

The router takes any callable as a validator. Here it is a pydantic model: an answer that is not an invoice is refused,
and the same question goes to thinking mode. Every attempt is priced, and the decision says why it was made.

DEEPTHRIFT_URL names the endpoint, http://localhost:8000/v1 unless set.
"""

from __future__ import annotations

import asyncio
import os
from decimal import Decimal

from pydantic import BaseModel, ValidationError

from deepthrift import AsyncClient, Reply
from deepthrift_router import ModeRouter

URL = os.environ.get("DEEPTHRIFT_URL", "http://localhost:8000/v1")
PROMPT = """Give number and total of this invoice as JSON like {"number": "A-1", "total": "9.99"}, and nothing else.

Invoice INV-7. Two books at 5.00 each, one pen at 2.50."""


class Invoice(BaseModel):
    """What the answer has to be."""

    number: str
    total: Decimal


def is_invoice(reply: Reply) -> bool | str:
    """`True`, or why the answer cannot be used."""
    try:
        Invoice.model_validate_json(reply.text)
    except ValidationError as error:
        return error.errors()[0]["msg"]
    return True


async def main() -> None:
    async with AsyncClient(URL, host="vllm", model="deepseek-ai/DeepSeek-V3.1", prices="brief") as client:
        router = ModeRouter(client, policy="cascade", validators=[is_invoice])
        reply = await router.chat(PROMPT, max_tokens=1024)

    invoice = Invoice.model_validate_json(reply.text)
    print(f"{invoice.number}: {invoice.total}")
    print(f"path: {' > '.join(reply.path)}, {reply.cost}")
    print(reply.decision.reason)
    for attempt in reply.attempts:
        print(f"  {attempt.purpose:8} {attempt.mode:8} {attempt.cost}")


if __name__ == "__main__":
    asyncio.run(main())
