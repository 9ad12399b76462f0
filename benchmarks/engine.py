"""The embedded engine: how soon it answers from a cold start, and what our path adds to the engine's own call.

    python benchmarks/engine.py

A cold start is a new interpreter that imports Deepthrift, starts the engine with SmolLM2 and has its first answer. The
model is fetched once, as `deepthrift models pull` does; its file may be in the system's cache.

What our path adds: the same short question to the scripted model in V3.1's architecture (`tests/support/tiny_gguf.py`),
once through `AsyncClient.local`, over HTTP to a child process, counted, priced and booked, and once through the
engine's own call in this process. One thread each, in turns, CPU time of both processes.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._peers import heading, table, versions
from deepthrift import AsyncClient
from deepthrift.local import Engine, models, read_header
from deepthrift.local._engine.templates import template_text
from tests.support.tiny_gguf import STANDARD_ANSWER, tiny_gguf

MOST_COLD_SECONDS = 5.0
MOST_ADDED_MS = 5.0
COLD = """
from deepthrift import Client
with Client.local(threads=1) as client:
    reply = client.chat("What is the capital of France?", max_tokens=32, temperature=0)
print(reply.text)
"""


def cold_start() -> tuple[float, str]:
    """Seconds from nothing to the first answer, and that answer."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", COLD], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        answer = process.stdout.readline().strip()
        seconds = time.perf_counter() - began
    return seconds, answer


def cpu_of(pid: int) -> float:
    """Seconds of CPU time of every thread of a process, to the nanosecond where Linux tells it."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def in_process(path: Path) -> Any:
    """The engine's own server inside this process, set as ours is."""
    xllamacpp: Any = importlib.import_module("xllamacpp")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx, parameters.n_parallel = 4096, 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.verbosity, parameters.cache_ram_mib, parameters.fit_params = 1, 256, False
    parameters.chat_template = template_text(read_header(path)) or ""
    return xllamacpp.Server(parameters)


async def added(pairs: int, *, warm: int = 10) -> tuple[list[float], list[float]]:
    """CPU seconds of each call through our path, and of the engine's own, in turns."""
    path = tiny_gguf("answer")
    ours: list[float] = []
    theirs: list[float] = []
    server = in_process(path)
    switch = {"thinking": False, "enable_thinking": False}
    engine = Engine(path, threads=1)
    async with AsyncClient.local(engine=engine) as client:
        assert engine.pid is not None
        for number in range(warm + pairs):
            question = f"What is the capital of country {number}?"
            body = {
                "messages": [{"role": "user", "content": question}],
                "max_tokens": 64,
                "temperature": 0,
                "chat_template_kwargs": switch,
            }
            before = time.process_time()
            answer = server.handle_chat_completions(body)
            theirs.append(time.process_time() - before)
            assert answer["choices"][0]["message"]["content"] == STANDARD_ANSWER
            before = time.process_time() + cpu_of(engine.pid)
            reply = await client.chat(question, max_tokens=64, temperature=0)
            ours.append(time.process_time() + cpu_of(engine.pid) - before)
            assert reply.text == STANDARD_ANSWER
    return ours[warm:], theirs[warm:]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the median, from the order of the values: no shape of their distribution is assumed."""
    ordered, size = sorted(values), len(values)
    reach = 1.96 * size**0.5 / 2
    return ordered[max(0, int(size / 2 - reach))], ordered[min(size - 1, int(size / 2 + reach))]


def goal(what: str, found: float, unit: str, most: float) -> bool:
    met = found <= most
    print(f"goal  {what}: {found:.2f} {unit}, at most {most:g}: {'met' if met else 'MISSED'}")
    return met


def main() -> None:
    parser = argparse.ArgumentParser(description="The embedded engine.")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=60)
    arguments = parser.parse_args()
    heading("The embedded engine")
    told: Mapping[str, str] = versions("deepthrift", "xllamacpp")
    print(", ".join(f"{name} {version}" for name, version in told.items()), flush=True)

    models.pull()
    starts = [cold_start() for _ in range(arguments.starts)]
    seconds = [each for each, _ in starts]
    print(f"\nFrom a cold start to the first answer of SmolLM2, {len(starts)} times: {starts[0][1]!r}")
    table(["", "least", "median", "most"], [["seconds", *(f"{f(seconds):.2f}" for f in (min, median, max))]])

    if not Path(f"/proc/{os.getpid()}/task").exists():
        raise SystemExit("CPU time of another process by thread is told by Linux only")
    ours, theirs = asyncio.run(added(arguments.pairs))
    differences = [1e3 * (a - b) for a, b in zip(ours, theirs, strict=True)]
    low, high = interval(differences)
    print(f"CPU milliseconds of a call to the scripted model, one thread, {len(ours)} pairs in turns")
    rows = [
        [name, f"{1e3 * min(side):.2f}", f"{1e3 * median(side):.2f}"]
        for name, side in (("deepthrift, both processes", ours), ("the engine's own call", theirs))
    ]
    table(["", "least", "median"], rows)
    print(f"difference of a pair, median {median(differences):.2f} ms, 95 % interval {low:.2f} to {high:.2f}\n")
    met = [
        goal("first answer from a cold start, median", median(seconds), "s", MOST_COLD_SECONDS),
        goal("CPU that our path adds to a call, median", median(differences), "ms", MOST_ADDED_MS),
    ]
    raise SystemExit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
