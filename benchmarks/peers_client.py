"""What a client's call costs beside peers in one run: CPU per call and per streamed chunk, connections, import.

    python benchmarks/peers_client.py [--rounds 15]

All talk to one server on loopback, `_loopback_server.py`, in a process of its own, and every side runs in a process of
its own; `_client_sides.py` shows what each one does. CPU time is that of a side's whole process. The sides take turns,
and the least of all rounds counts, for on a busy machine everything above it is somebody else's work. Deepthrift counts
the prompt's tokens, prices and reserves the worst case against a budget, validates the answer and books what it cost;
after the run its ledger must hold exactly what was billed. Of the others litellm prices the answer, too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

from _peers import FOLDER, OPENAI, PEERS, QUIET, Worker, heading, progress, python_of, table, verdict

SCRIPT = "_client_sides.py"
OURS, ON_DISK = "deepthrift", "deepthrift, ledger in a file"
SIDES = {
    OURS: PEERS,
    ON_DISK: PEERS,
    "openai": OPENAI,
    "litellm": PEERS,
    "httpx + pydantic": PEERS,
    "aiohttp + json (floor)": PEERS,
}
AT_ONCE = {1: 50, 64: 192, 256: 512}
"""Calls under way at the same time, and calls in a round: few, so that some rounds fall into a quiet moment."""
KINDS = {"plain": "events in one write", "drip": "a write for each event"}
STREAMS = 10
IN_A_ROUND = 4
"""Streams, one after the other."""
IMPORTS = {
    "httpx, pydantic, tenacity (its floor)": (PEERS, "import httpx, pydantic, tenacity"),
    "deepthrift": (PEERS, "import deepthrift"),
    "deepthrift, a client made": (
        PEERS,
        "import deepthrift; deepthrift.AsyncClient('http://127.0.0.1:1/v1', host='vllm', model='m')",
    ),
    "openai": (OPENAI, "import openai"),
    "openai, a client made": (
        OPENAI,
        "import openai; openai.AsyncOpenAI(base_url='http://127.0.0.1:1/v1', api_key='k').chat.completions",
    ),
    "litellm": (PEERS, "import litellm"),
    "genai_prices": (PEERS, "import genai_prices"),
    "cendor.tokenguard": (PEERS, "import cendor.tokenguard"),
    "aiohttp": (PEERS, "import aiohttp"),
}


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The URL of a new server."""
    command = [sys.executable, str(FOLDER / "_loopback_server.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()


def connections(url: str) -> int:
    """How many connections the server has had chats on."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{url}/connections") as response:
        return int(response.read())


def seconds(answer: dict[str, object], clock: str) -> float:
    """One of the times of an answer."""
    found = answer[clock]
    assert isinstance(found, float)
    return found


def row(side: str, found: list[list[float]], digits: int) -> list[str]:
    """The least and the median of each column."""
    return [side, *(f"{min(column):.{digits}f} / {statistics.median(column):.{digits}f}" for column in found)]


class Run:
    """All sides and their figures."""

    def __init__(self, made: dict[str, Worker]) -> None:
        self.made = made

    def calls(self, rounds: int) -> dict[int, float]:
        """Our least CPU time of a call in milliseconds, by how many were under way."""
        cpu: dict[tuple[str, int], list[float]] = {}
        wall: dict[tuple[str, int], list[float]] = {}
        for turn in range(rounds + 1):
            for at_once, calls in AT_ONCE.items():
                for side, worker in self.made.items():
                    progress(f"calls: round {turn} of {rounds}, {at_once} at once, {side}")
                    calls_now = calls if turn else at_once * 2
                    answer = worker.ask("chats", calls=calls_now, at_once=at_once)
                    if turn:
                        cpu.setdefault((side, at_once), []).append(seconds(answer, "cpu") / calls * 1e3)
                        wall.setdefault((side, at_once), []).append(calls / seconds(answer, "wall"))
        progress("")
        print("CPU milliseconds of a call, least / median")
        heads = ["", *(f"{at_once} at once" for at_once in AT_ONCE), "× deepthrift at 64", "calls/s at 64, best"]
        ours = min(cpu[OURS, 64])
        rows = [
            [
                *row(side, [cpu[side, at_once] for at_once in AT_ONCE], 3),
                f"{min(cpu[side, 64]) / ours:.2f}",
                f"{max(wall[side, 64]):,.0f}",
            ]
            for side in self.made
        ]
        table(heads, rows)
        return {at_once: min(cpu[OURS, at_once]) for at_once in AT_ONCE}

    def streams(self, rounds: int) -> dict[str, float]:
        """Our least CPU time of a streamed chunk in milliseconds, by how they were written."""
        cpu: dict[tuple[str, str], list[float]] = {}
        for turn in range(rounds + 1):
            for kind in KINDS:
                for side, worker in self.made.items():
                    progress(f"streams: round {turn} of {rounds}, {side}")
                    if not turn:  # to warm up
                        worker.ask("streams", kind=kind, streams=1)
                        continue
                    answer = worker.ask("streams", kind=kind, streams=IN_A_ROUND)
                    chunks = answer["chunks"]
                    assert isinstance(chunks, int)
                    cpu.setdefault((side, kind), []).append(seconds(answer, "cpu") / chunks * 1e3)
        progress("")
        print("CPU milliseconds of a chunk in streams of 500, least / median")
        heads = ["", *KINDS.values(), "× deepthrift"]
        ours = min(cpu[OURS, "plain"])
        rows = [
            [*row(side, [cpu[side, kind] for kind in KINDS], 4), f"{min(cpu[side, 'plain']) / ours:.2f}"]
            for side in self.made
        ]
        table(heads, rows)
        return {kind: min(cpu[OURS, kind]) for kind in KINDS}


def fresh_streams() -> int:
    """How many connections ten streams take in a new client, for each side; ours is returned."""
    rows: list[list[str]] = []
    for side, environment in SIDES.items():
        found: list[str] = []
        for kind in KINDS:
            with server() as url, Worker(SCRIPT, side, environment, settings={"BENCHMARK_URL": url}) as worker:
                worker.ask("streams", kind=kind, streams=STREAMS)
                found.append(str(connections(url)))
        rows.append([side, *found])
    print(f"Connections that {STREAMS} streams take, one after the other, with a new client")
    table(["", *KINDS.values()], rows)
    return max(map(int, rows[0][1:]))


def imports(rounds: int) -> float:
    """CPU time of an import in a fresh process. Returns ours in milliseconds."""
    probe = "import time; began = time.process_time(); {}; print((time.process_time() - began) * 1000)"
    found: dict[str, list[float]] = {}
    environment = {**os.environ, **QUIET}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # pip compiles what it installs; the first round compiles ours
    for turn in range(rounds + 1):
        for name, (where, statement) in IMPORTS.items():
            progress(f"imports: round {turn} of {rounds}, {name}")
            command = [str(python_of(where)), "-c", probe.format(statement)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            if turn:
                found.setdefault(name, []).append(float(done.stdout.split()[-1]))
    progress("")
    print("Import in a fresh process, CPU milliseconds")
    ours = min(found[OURS])
    rows = [
        [name, f"{min(each):.0f}", f"{statistics.median(each):.0f}", f"{min(each) / ours:.2f}"]
        for name, each in found.items()
    ]
    table(["", "least", "median", "× deepthrift"], rows)
    return ours


def main() -> None:
    options = argparse.ArgumentParser(description="What a client's call costs, beside peers.")
    options.add_argument("--rounds", type=int, default=15)
    rounds = options.parse_args().rounds
    python_of(PEERS)
    python_of(OPENAI)
    with server() as url, contextlib.ExitStack() as stack:
        settings = {"BENCHMARK_URL": url}
        made = {
            side: stack.enter_context(Worker(SCRIPT, side, environment, settings=settings))
            for side, environment in SIDES.items()
        }
        found: dict[str, str] = {}
        for worker in made.values():
            found |= {name: str(version) for name, version in worker.ask("versions").items()}
        heading("A client's call beside peers")
        print(", ".join(f"{name} {version}" for name, version in found.items()), end="\n\n")
        run = Run(made)
        calls = run.calls(rounds)
        chunks = run.streams(rounds)
        for worker in made.values():
            worker.ask("check")
    used = fresh_streams()
    imported = imports(rounds)
    for at_once in (64, 256):
        verdict(f"a call, {at_once} at once", calls[at_once], 0.65, "ms of CPU")
    for kind, words in KINDS.items():
        verdict(f"a chunk, {words}", chunks[kind], 0.022, "ms of CPU")
    verdict(f"connections of {STREAMS} streams", used, 1, "opened")
    verdict("import deepthrift", imported, 170, "ms of CPU")


if __name__ == "__main__":
    main()
