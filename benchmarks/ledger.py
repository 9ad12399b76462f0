"""What a booking costs: CPU and wall-clock time of reserve + settle, and of a price look-up.

    python benchmarks/ledger.py [--calls 20000] [--folder DIR]

Every figure is the median over chunks of 200 calls, beside the best chunk, because other programs disturb a benchmark.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from deepthrift_pricing import AttemptRequest, Budget, Ledger, PriceBook, Usage, new_id, utc_now

CHUNK = 200
USAGE = Usage.of(2000, 500, cache_hit=1536, reasoning=300)


def measure(name: str, calls: int, work: Callable[[int], object]) -> None:
    """Prints the CPU time of one call of `work` in microseconds, and how many fit into a second of wall-clock time."""
    cpu: list[float] = []
    wall: list[float] = []
    for chunk in range(max(1, calls // CHUNK)):
        begun, began = time.process_time(), time.perf_counter()
        for number in range(chunk * CHUNK, (chunk + 1) * CHUNK):
            work(number)
        cpu.append((time.process_time() - begun) / CHUNK * 1e6)
        wall.append((time.perf_counter() - began) / CHUNK)
    rate = len(wall) / sum(wall)
    print(f"{name:44} {statistics.median(cpu):9.1f} µs CPU  {min(cpu):9.1f} best  {rate:9,.0f} a second")


def request(number: int, book: PriceBook, started_at: datetime) -> AttemptRequest:
    """The reference call."""
    host, model = "vllm", "deepseek-ai/DeepSeek-V3.1"
    call = f"call-{number:08d}"
    return AttemptRequest(
        attempt_id=new_id("att"),
        call_id=call,
        group_id=call,
        host=host,
        model=model,
        mode="thinking",
        prompt_tokens=2000,
        max_tokens=500,
        worst=book.worst(host=host, model=model, mode="thinking", prompt_tokens=2000, max_tokens=500, at=started_at),
        tags={"team": "search"},
        started_at=started_at,
    )


def main() -> None:
    """Measures a ledger in memory and one in a file, with no budget and with three."""
    options = argparse.ArgumentParser(description="What a booking costs.")
    options.add_argument("--calls", type=int, default=20_000)
    options.add_argument("--folder", type=Path, help="where the ledger's file is made; a temporary folder if not given")
    chosen = options.parse_args()
    book = PriceBook.named("official-2025-09-05")
    at = utc_now()
    cost = book.cost(USAGE, host="vllm", model="x", mode="thinking", started_at=at)
    requests = [request(number, book, at) for number in range(chosen.calls + CHUNK)]
    budgets = [Budget("9000", per="day"), Budget("9000", per="month", tags={"team": "search"}), Budget("1", per="call")]
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        for place in ("memory:", f"sqlite:///{folder}/spend.db"):
            for count in (0, 1, 3):
                if place != "memory:":
                    place = f"sqlite:///{folder}/spend{count}.db"
                with Ledger.open(place, budgets=budgets[:count]) as ledger:

                    def book_one(number: int, ledger: Ledger = ledger) -> None:
                        attempt = ledger.try_reserve(requests[number])
                        ledger.settle(attempt.id, usage=USAGE, cost=cost, ended_at=at)

                    label = f"reserve + settle, {place.split(':')[0]}, {count} budget{'s' * (count != 1)}"
                    measure(label, chosen.calls, book_one)
    official = PriceBook.builtin()
    peak = datetime(2026, 11, 23, 2, tzinfo=UTC)
    measure(
        "price look-up, now",
        chosen.calls,
        lambda _: official.find(host="deepseek", model="deepseek-flash", mode="standard", at=peak),
    )
    minutes = [datetime(2025, 1 + number % 9, 1 + number % 28, number % 24, tzinfo=UTC) for number in range(CHUNK)]
    measure(
        "price look-up, any date",
        chosen.calls,
        lambda number: official.find(
            host="deepseek", model="deepseek-chat", mode="standard", at=minutes[number % CHUNK]
        ),
    )


if __name__ == "__main__":
    main()
