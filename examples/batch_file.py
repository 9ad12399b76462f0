"""A file of requests, answered into another one: priced before, resumable after.

    python examples/batch_file.py

The files have the form of OpenAI's batches. Run it twice: the second time, everything is there and nothing is sent.

DEEPTHRIFT_URL names the endpoint, http://localhost:8000/v1 unless set.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from deepthrift import Client
from deepthrift.batch import BatchProgress

URL = os.environ.get("DEEPTHRIFT_URL", "http://localhost:8000/v1")
QUESTIONS = {
    "capital": ("standard", "What is the capital of France?"),
    "primes": ("thinking", "How many primes are below 1,000?"),
    "weather": ("standard", "Is Paris or Rome warmer?"),
}


def write_rows(path: Path) -> None:
    """One request a line; `mode` stands beside the body."""
    with path.open("w", encoding="utf-8") as file:
        for name, (mode, question) in QUESTIONS.items():
            body = {"messages": [{"role": "user", "content": question}], "max_tokens": 512}
            row = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "mode": mode, "body": body}
            file.write(json.dumps(row) + "\n")


def show(progress: BatchProgress) -> None:
    """Called after each result."""
    print(f"{progress.done} of {progress.rows} rows, {progress.spend or 'nothing'} so far")


def main() -> None:
    source, out = Path("in.jsonl"), Path("out.jsonl")
    write_rows(source)
    with Client(URL, host="vllm", model="deepseek-ai/DeepSeek-V3.1", prices="brief") as client:
        estimate = client.batch_estimate(source)
        print(f"{estimate.rows} rows, at most {estimate.worst}")
        summary = client.batch_file(source, out, on_progress=show)
        print(f"{summary.answered} answered, {summary.run_rows} of them now, {summary.spend}")
        if summary.stopped is not None:
            raise summary.stopped

    # The last line of a custom_id counts.
    for line in {row["custom_id"]: row for row in map(json.loads, out.read_text("utf-8").splitlines())}.values():
        answer = line["response"]["body"]["choices"][0]["message"]["content"]
        print(f"{line['custom_id']:8} {line['deepthrift']['mode']:8} {line['deepthrift']['cost']:>12}  {answer}")


if __name__ == "__main__":
    main()
