"""DeepSeek V3.1 on machines of your own, served by vLLM: both modes, at what the hardware costs.

    vllm serve deepseek-ai/DeepSeek-V3.1 --tensor-parallel-size 8 --reasoning-parser deepseek_v3 \\
        --enable-auto-tool-choice --tool-call-parser deepseek_v31
    DEEPTHRIFT_URL=http://gpu-box:8000/v1 python examples/self_run_vllm.py

`deepthrift engine plan` prints that command for your machines, and `deepthrift doctor --probe URL` tells whether the
server switches its modes as it should. Without DEEPTHRIFT_URL, http://localhost:8000/v1 is asked.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from deepthrift import AsyncClient
from deepthrift_pricing import Mode, PriceBook

URL = os.environ.get("DEEPTHRIFT_URL", "http://localhost:8000/v1")
MODES: tuple[Mode, ...] = ("standard", "thinking")
# Put your own figures here: what the machine costs, how busy it is, how fast it generates.
HARDWARE = """
host = "vllm"
checked = 2026-11-01

[[hardware]]
id = "own/8xH200"
gpus = 8
gpu_hour = "2.50"
utilisation = "0.5"
completion_tokens_per_second = 2500
prompt_tokens_per_second = 20000
source = "measured on the machine"
"""


def prices() -> PriceBook:
    """What a token costs on the machine; a file that is kept beside the program in life."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "my-hardware.toml"
        file.write_text(HARDWARE, encoding="utf-8")
        return PriceBook.load(file)


async def main() -> None:
    async with AsyncClient(URL, host="vllm", model="deepseek-ai/DeepSeek-V3.1", prices=prices()) as client:
        print(f"the server has {', '.join(model.id for model in await client.models())}")
        for mode in MODES:
            reply = await client.chat("How many primes are below 1,000?", mode=mode, max_tokens=1024)
            print(f"{mode}: {reply.text}")
            print(f"  ran in {reply.mode} mode, {reply.usage.completion_tokens} tokens generated, {reply.cost}")
            for warning in reply.warnings:
                print(f"  {warning}")


if __name__ == "__main__":
    asyncio.run(main())
