"""Text in, a validated object out: with repairs, and field by field while it arrives.

    python examples/structured_extraction.py

The host is asked in the best form that it knows: a JSON schema, JSON mode, or words. An answer that does not fit is
sent back with what is wrong; one that never fits is an error that says what it cost.

DEEPTHRIFT_URL names the endpoint, http://localhost:8000/v1 unless set.
"""

from __future__ import annotations

import asyncio
import os
from decimal import Decimal

from pydantic import BaseModel

from deepthrift import AsyncClient
from deepthrift.errors import StructuredOutputError

URL = os.environ.get("DEEPTHRIFT_URL", "http://localhost:8000/v1")


class Line(BaseModel):
    """One line of a receipt."""

    what: str
    price: Decimal


class Receipt(BaseModel):
    """What the answer has to be."""

    shop: str
    lines: list[Line]


async def main() -> None:
    async with AsyncClient(URL, host="vllm", model="deepseek-ai/DeepSeek-V3.1", prices="brief") as client:
        reply = await client.parse_reply("Read this receipt: Stationer, one pen at 2.50.", into=Receipt, max_tokens=512)
        total = sum((line.price for line in reply.value.lines), Decimal(0))
        print(f"{reply.value.shop}: {total} in {len(reply.value.lines)} line, for {reply.cost}")

        async with client.stream_parse("Read this receipt: Stationer, one pen at 2.50.", into=Receipt) as stream:
            async for partial in stream:
                print(f"so far: {partial}")
            print(f"at last: {stream.value.lines[0].price}")

        try:
            await client.parse("Read this receipt: Stationer, one pen at 2.50.", into=Receipt, max_tokens=4)
        except StructuredOutputError as error:
            print(f"not a receipt, for {error.spend}: {error}")


if __name__ == "__main__":
    asyncio.run(main())
