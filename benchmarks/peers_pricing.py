"""Booking a call against a budget, and pricing one, beside peers in one run.

    python benchmarks/peers_pricing.py [--rounds 15] [--calls 400]

CPU time is that of a side's whole process, threads included. The sides take turns in every round, and the least of all
rounds counts, for on a busy machine everything above it is somebody else's work. What a side promises is tried, too:
how much of the money it still knows after `kill -9`, how many of 64 calls at the same time it admits where ten fit, and
whether the sum that it booked is exact. `_pricing_sides.py` shows what each one does.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

from _peers import PEERS, Worker, heading, progress, table, verdict

SCRIPT = "_pricing_sides.py"
OURS, ALONE, FLOOR = "deepthrift", "deepthrift, reserve + settle alone", "sqlite3 by hand (floor)"
BOOKING = (OURS, ALONE, "litellm BudgetManager", "cendor-tokenguard", FLOOR)
PEERS_THAT_BOOK = (OURS, "litellm BudgetManager", "cendor-tokenguard")
PRICING = (OURS, "litellm BudgetManager", "cendor-tokenguard", "genai-prices")
STORES = ("memory", "file")
IN_FLIGHT, FITTING = 64, 10
CRASH_CALLS = 300
TRUE_PRICE = Decimal("0.00051968")


@contextlib.contextmanager
def workers(sides: tuple[str, ...]) -> Iterator[dict[str, Worker]]:
    """A worker for each side, each in a folder of its own."""
    with contextlib.ExitStack() as stack:
        made: dict[str, Worker] = {}
        for side in sides:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            made[side] = stack.enter_context(Worker(SCRIPT, side, PEERS, folder=folder))
        yield made


def times(worker: Worker, command: str, calls: int, **arguments: object) -> tuple[float, float]:
    """CPU and wall-clock seconds of one call."""
    answer: Mapping[str, object] = worker.ask(command, calls=calls, **arguments)
    cpu, wall = answer["cpu"], answer["wall"]
    assert isinstance(cpu, float)
    assert isinstance(wall, float)
    return cpu / calls, wall / calls


def bookings(rounds: int, calls: int) -> tuple[float, float]:
    """Books in turns. Returns our least CPU time on a file, in seconds, and our best bookings in a second there."""
    cpu: dict[tuple[str, str], list[float]] = {}
    wall: dict[tuple[str, str], list[float]] = {}
    exact: dict[tuple[str, str], str] = {}
    for store in STORES:
        with workers(BOOKING) as made:
            for worker in made.values():
                worker.ask("open", store=store)
                worker.ask("book", calls=20)
            for turn in range(rounds):
                for side, worker in made.items():
                    # A round lasts about as long for everybody, and gives fast sides several tries at a quiet moment.
                    for _ in range(1 if statistics.fmean(cpu.get((side, store), [1.0])) > 1e-3 else 6):
                        spent, passed = times(worker, "book", calls if turn else 20)
                        if turn:
                            cpu.setdefault((side, store), []).append(spent)
                            wall.setdefault((side, store), []).append(passed)
                progress(f"booking, {store}: round {turn + 1} of {rounds}")
            for side in PEERS_THAT_BOOK:
                answer = made[side].ask("booked")
                booked, unit = (Decimal(str(answer[name])) for name in ("booked", "unit"))
                off = booked - unit * round(booked / unit)
                exact[side, store] = "exact" if not off else f"off by {abs(off):.0e}"
    progress("")
    rows: list[list[str]] = []
    for store in STORES:
        ours = min(cpu[OURS, store])
        for side in BOOKING:
            best, middle = (1e3 * found(cpu[side, store]) for found in (min, statistics.median))
            rate = 1 / min(wall[side, store])
            ratio = f"{best / 1e3 / ours:.2f}"
            rows.append(
                [side, store, f"{best:.4f}", f"{middle:.4f}", ratio, f"{rate:,.0f}", exact.get((side, store), "")]
            )
    print("One call checked against a budget and booked")
    table(["", "store", "CPU ms, least", "median", "× deepthrift", "bookings/s", "sum booked"], rows)
    return min(cpu[ALONE, "file"]), 1 / min(wall[ALONE, "file"])


def promises() -> None:
    """Tries what each side promises."""
    rows: list[list[str]] = []
    for side in PEERS_THAT_BOOK:
        with workers((side,)) as made:
            admitted = made[side].number("storm", "admitted", calls=IN_FLIGHT, fitting=FITTING)
        with tempfile.TemporaryDirectory() as folder:
            worker = Worker(SCRIPT, side, PEERS, folder=Path(folder))
            worker.ask("open", store="file")
            worker.ask("book_and_stay", calls=CRASH_CALLS)
            worker.kill()
            with Worker(SCRIPT, side, PEERS, folder=Path(folder)) as after:
                try:
                    answer = after.ask("booked")
                    share = Decimal(str(answer["booked"])) / (Decimal(str(answer["unit"])) * CRASH_CALLS)
                    kept = f"{share:.1%}"
                except RuntimeError as error:
                    kept = f"unreadable ({str(error).split(': ')[2]})"
        rows.append([side, kept, f"{admitted:.0f}"])
    print("What is promised, tried")
    table(["", "money known after kill -9, file", f"admitted of {IN_FLIGHT} at once where {FITTING} fit"], rows)


def look_ups(rounds: int) -> float:
    """Prices in turns. Returns our slowest look-up of a row, in microseconds."""
    kinds = {side: ["row", "row, any date", "cost"] if side == OURS else ["cost"] for side in PRICING}
    least: dict[tuple[str, str], list[float]] = {}
    said: dict[str, str] = {}
    with workers(PRICING) as made:
        for turn in range(rounds):
            for side, worker in made.items():
                for kind in kinds[side]:
                    for _ in range(3):
                        spent, _wall = times(worker, "look_up", 500, what=kind)
                        if turn:
                            least.setdefault((side, kind), []).append(spent * 1e6)
        for side, worker in made.items():
            usd = Decimal(str(worker.ask("priced")["usd"]))
            said[side] = f"{usd.normalize():f}{' (right)' if usd == TRUE_PRICE else ' (it was 0.00051968)'}"
    ours = min(least[OURS, "cost"])
    rows: list[list[str]] = []
    for (side, kind), found in least.items():
        ratio = f"{min(found) / ours:.2f}" if kind == "cost" else ""
        rows.append(
            [
                side,
                kind,
                f"{min(found):.2f}",
                f"{statistics.median(found):.2f}",
                ratio,
                said[side] if kind == "cost" else "",
            ]
        )
    print("A price looked up; as a check, what 1,024 hit + 512 miss + 96 completion tokens of V3.1 cost on 2025-09-10")
    table(["", "what", "CPU µs, least", "median", "× deepthrift", "USD said"], rows)
    return max(min(least[OURS, kind]) for kind in ("row", "row, any date"))


def main() -> None:
    options = argparse.ArgumentParser(description="Booking and pricing a call, beside peers.")
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--calls", type=int, default=400)
    chosen = options.parse_args()
    with workers(PRICING) as made:
        found: dict[str, str] = {}
        for worker in made.values():
            found |= {name: str(version) for name, version in worker.ask("versions").items()}
    heading("Booking and pricing beside peers")
    print(", ".join(f"{name} {version}" for name, version in found.items()), end="\n\n")
    cpu, rate = bookings(chosen.rounds + 1, chosen.calls)
    promises()
    look_up = look_ups(chosen.rounds + 1)
    verdict("reserve + settle on SQLite", cpu * 1e3, 0.12, "ms of CPU")
    verdict("bookings on SQLite, one process", rate, 5000, "a second", at_least=True)
    verdict("price look-up", look_up, 10, "µs of CPU")


if __name__ == "__main__":
    main()
