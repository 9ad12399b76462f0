"""A real model on this machine, in both modes, with every token priced and booked.

    python examples/embedded_engine.py               the small default model, fetched once
    python examples/embedded_engine.py model.gguf    a model of yours

Needs `deepthrift[local]`. The default model is far too small to think well: this shows the workings, not quality.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from deepthrift import AsyncClient
from deepthrift.local import EngineProgress
from deepthrift_pricing import Mode

QUESTION = "What is the capital of France?"
MODES: tuple[Mode, ...] = ("standard", "thinking")


def show(progress: EngineProgress) -> None:
    """One line for each stage of the start."""
    print(f"{progress.seconds:5.1f} s  {progress.stage}", file=sys.stderr)


async def main(model: Path | None) -> None:
    async with AsyncClient.local(model) as client:
        for mode in MODES:
            reply = await client.chat(QUESTION, mode=mode, max_tokens=96)
            usage = reply.usage
            print(f"{mode}: {reply.text}")
            print(f"  {usage.prompt_tokens} prompt tokens, {usage.cache_hit_tokens} of them cached")
            print(f"  {usage.completion_tokens} completion tokens, {usage.reasoning_tokens} of them reasoning")
            print(f"  {reply.cost} in {len(reply.attempts)} attempt(s)")
        for row in client.ledger.spend(by=("mode",)):
            print(f"{row.key['mode']}: {row.total} in {row.attempts} attempt(s)")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
