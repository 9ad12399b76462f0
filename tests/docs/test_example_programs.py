"""Each program in `examples/` runs as a user would run it, against a real server, and does what it says."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.answers import answer
from tests.support.bill_server import Answer, BillServer, Received
from tests.support.tiny_gguf import STANDARD_ANSWER, THINKING_ANSWER, tiny_gguf

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


def run(name: str, url: str, home: Path, *arguments: str) -> str:
    """The standard output of an example, warnings as errors."""
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("sdk", "router", "pricing"))
    variables = dict(os.environ, DEEPTHRIFT_URL=url, DEEPTHRIFT_HOME=str(home), PYTHONPATH=paths, NO_COLOR="1")
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / name), *arguments]
    done = subprocess.run(
        command, cwd=home, env=variables, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_first_call(tmp_path: Path) -> None:
    with BillServer(answer) as server:
        out = run("first_call.py", server.url, tmp_path)
        server.quiet()
        [billed] = server.bill.lines
    assert "The capital of France is Paris." in out
    assert f"{billed.prompt_tokens + billed.completion_tokens} tokens" in out
    assert "finished by stop" in out


def test_stream(tmp_path: Path) -> None:
    with BillServer(answer) as server:
        out = run("stream.py", server.url, tmp_path, "How many primes are below 1,000?")
        server.quiet()
        [billed] = server.bill.lines
    assert "sieve" in out
    assert "There are 168 primes below 1,000." in out
    assert f"{billed.reasoning_tokens} of {billed.completion_tokens} tokens were reasoning" in out


def test_budget(tmp_path: Path) -> None:
    """Some calls fit and some do not, and what is left is never below nothing."""
    with BillServer(answer) as server:
        out = run("budget.py", server.url, tmp_path)
        server.quiet()
        billed = len(server.bill)
    [(answered, asked)] = re.findall(r"^(\d+) of (\d+) calls were answered", out, re.M)
    assert int(answered) == billed
    assert 0 < int(answered) < int(asked)
    [left] = re.findall(r"left (\S+) USD", out)
    assert not left.startswith("-")


def test_offline_tests(tmp_path: Path) -> None:
    """What was recorded is replayed word for word, at the same cost, with one request to the endpoint."""
    with BillServer(answer) as server:
        out = run("offline_tests.py", server.url, tmp_path)
        assert len(server.requests) == 1
    recorded, first, replayed, second = out.splitlines()
    assert recorded.removeprefix("recorded: ") == replayed.removeprefix("replayed: ") == "Yes."
    assert first == second


def test_tiered_fallback(tmp_path: Path) -> None:
    """The standard answer is refused by the validator, thinking mends it, and both are on the bill."""
    with BillServer(answer) as server:
        out = run("tiered_fallback.py", server.url, tmp_path)
        server.quiet()
        modes = [line.mode for line in server.bill.lines]
    assert "INV-7: 12.50" in out
    assert "path: standard > escalate" in out
    assert modes == ["standard", "thinking"]
    assert out.count("  answer ") + out.count("  escalate ") == len(modes)


def test_batch_file(tmp_path: Path) -> None:
    """Answered once: the second run finds everything there."""
    with BillServer(answer) as server:
        out = run("batch_file.py", server.url, tmp_path)
        again = run("batch_file.py", server.url, tmp_path)
        server.quiet()
        assert len(server.bill) == 3
    assert "3 answered, 3 of them now" in out
    assert "There are 168 primes below 1,000." in out
    assert "3 answered, 0 of them now" in again


def test_calibrate_on_your_labels(tmp_path: Path) -> None:
    """Both modes are asked, graded and learned from."""
    draw = random.Random(4)
    wrong = {number for number in range(1, 121) if draw.random() < 0.3}

    def sums(request: Received) -> Answer:
        number = int(re.findall(r"What is (\d+)", request.question)[0])
        right = request.mode_ran == "thinking" or number not in wrong
        return Answer(str(4 * number if right else draw.randrange(1000, 9999)), "Adding them.")

    with BillServer(sums) as server:
        out = run("calibrate_on_your_labels.py", server.url, tmp_path)
        server.quiet()
        asked = len(server.requests)
    assert asked == 120 * 4
    assert re.search(r"120 of 120 prompts, 0\.00\d+ USD", out)
    assert re.search(r"setting 20\w+Z: log loss \d\.\d+ before", out)
    assert "of accuracy lost at 95% confidence" in out


@pytest.mark.engine
def test_embedded_engine(tmp_path: Path) -> None:
    """On the tiny model in V3.1's architecture: a real engine, both modes, and a ledger that adds up."""
    out = run("embedded_engine.py", "", tmp_path, str(tiny_gguf("answer")))
    assert f"standard: {STANDARD_ANSWER}" in out
    assert f"thinking: {THINKING_ANSWER}" in out
    assert re.search(r"completion tokens, [1-9]\d* of them reasoning", out)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_has_a_test_of_its_own(name: str) -> None:
    assert f"test_{name.removesuffix('.py')}" in globals()
