"""What routing costs besides the calls, beside peers in one run: CPU of the score, the first decision, the whole.

    python benchmarks/router_overhead.py [--rounds 12]

Every prompt has 2,000 characters and comes once. The whole overhead is the CPU time of routed answers less that of the
same calls made by the same client without a router; the endpoint is a process of its own. Deepthrift's router makes two
calls here, for it asks again and compares; litellm's makes one, at whatever tier its keywords say; pareto-router's
client calls no endpoint at all. Every side runs in a process of its own, pareto-router in an environment of its own,
and the sides take turns. The least of all rounds counts, for on a busy machine everything above it is somebody else's
work. `_router_sides.py` shows what each one does.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics

from _peers import PEERS, Worker, heading, progress, python_of, table, verdict
from peers_client import server

SCRIPT = "_router_sides.py"
OURS, LITELLM, PARETO = "deepthrift", "litellm", "pareto-router"
SIDES = {OURS: PEERS, LITELLM: PEERS, PARETO: "peers-router"}
WITH_CALLS = (OURS, LITELLM)
COUNT = {"score": 40, "decide": 40, "routed": 20, "bare": 20}
"""Prompts in a round: few, so that some rounds fall into a quiet moment."""


def main() -> None:
    options = argparse.ArgumentParser(description="What routing costs besides the calls, beside peers.")
    options.add_argument("--rounds", type=int, default=12)
    rounds = options.parse_args().rounds
    for environment in set(SIDES.values()):
        python_of(environment)
    cpu: dict[tuple[str, str], list[float]] = {}
    calls: dict[str, int] = {}
    with server() as url, contextlib.ExitStack() as stack:
        made = {
            side: stack.enter_context(Worker(SCRIPT, side, environment, settings={"BENCHMARK_URL": url}))
            for side, environment in SIDES.items()
        }
        found: dict[str, str] = {}
        for worker in made.values():
            found |= {name: str(version) for name, version in worker.ask("versions").items()}
        for turn in range(rounds + 1):  # the first to warm up
            for what, count in COUNT.items():
                for side, worker in made.items():
                    if what in ("routed", "bare") and side not in WITH_CALLS:
                        continue
                    progress(f"round {turn} of {rounds}: {what}, {side}")
                    first = (turn * len(COUNT) + list(COUNT).index(what)) * max(COUNT.values())
                    more = {"calls": calls[side]} if what == "bare" else {}
                    answer = worker.ask(what, first=first, count=count, **more)
                    if what == "routed":
                        each = answer["calls"]
                        assert isinstance(each, float)
                        calls[side] = round(each)
                        if each != calls[side]:
                            raise RuntimeError(f"{side} made {each} calls an answer, not always as many")
                    spent = answer["cpu"]
                    assert isinstance(spent, float)
                    if turn:
                        cpu.setdefault((side, what), []).append(spent * 1e3)
        loaded = {side: worker.ask("loaded")["modules"] for side, worker in made.items()}
    progress("")
    heading("What routing costs besides the calls")
    print(", ".join(f"{name} {version}" for name, version in found.items()), end="\n\n")
    _table(cpu, calls, loaded)
    verdict("score of 2,000 characters", min(cpu[OURS, "score"]), 1.0, "ms of CPU")
    verdict("score and first decision", min(cpu[OURS, "decide"]), 1.0, "ms of CPU")
    verdict("whole routing besides the calls", _whole(cpu, OURS), 2.0, "ms of CPU")
    verdict("heavy packages loaded", len(loaded[OURS]) if isinstance(loaded[OURS], list) else 1, 0, "packages")


def _whole(cpu: dict[tuple[str, str], list[float]], side: str) -> float:
    """What is left of a routed answer without its calls, in milliseconds."""
    return min(cpu[side, "routed"]) - min(cpu[side, "bare"])


def _table(cpu: dict[tuple[str, str], list[float]], calls: dict[str, int], loaded: dict[str, object]) -> None:
    rows: list[list[str]] = []
    ours = {what: min(cpu[OURS, what]) for what in ("score", "decide")} | {"whole": _whole(cpu, OURS)}
    for side in SIDES:
        cells = [side]
        for what in ("score", "decide"):
            times = cpu[side, what]
            cells += [f"{min(times):.3f} / {statistics.median(times):.3f}", f"{min(times) / ours[what]:.2f}"]
        if side in WITH_CALLS:
            whole = _whole(cpu, side)
            cells += [f"{whole:.3f}", f"{whole / ours['whole']:.2f}", str(calls[side])]
        else:
            cells += ["", "", "0"]
        packages = loaded[side]
        cells.append(", ".join(map(str, packages)) if isinstance(packages, list) and packages else "none")
        rows.append(cells)
    print("CPU milliseconds of a prompt of 2,000 characters, least / median")
    heads = ["", "score", "×", "and first decision", "×", "whole, besides calls", "×", "calls", "heavy packages"]
    table(heads, rows)


if __name__ == "__main__":
    main()
