"""The embedded engine where there is no network: a model file that is here, and nothing else.

    python examples/offline_engine.py model.gguf
    unshare --net --map-root-user sh -c 'ip link set lo up && python examples/offline_engine.py model.gguf'

The second line takes the network away from the whole program, on Linux. The first one leaves it, so the program guards
itself: any connection to elsewhere than this machine raises. Needs `deepthrift[local]`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from deepthrift import AsyncClient


def guard(event: str, arguments: tuple[object, ...]) -> None:
    """Refuses to look up a name, or to connect to anything but this machine."""
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
            raise PermissionError(f"this program stays on its machine; it was to connect to {address!r}")
    elif event == "socket.getaddrinfo" and arguments[0] not in (None, "127.0.0.1", "::1", "localhost"):
        raise PermissionError(f"this program stays on its machine; it was to look up {arguments[0]!r}")


async def main(model: Path) -> None:
    async with AsyncClient.local(model) as client:
        reply = await client.chat("What is the capital of France?", max_tokens=64)
        print(reply.text)
        print(f"{reply.usage.total_tokens} tokens, {reply.cost}, {len(client.ledger.attempts())} attempt booked")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("name a model file: python examples/offline_engine.py model.gguf")
    sys.addaudithook(guard)
    asyncio.run(main(Path(sys.argv[1])))
