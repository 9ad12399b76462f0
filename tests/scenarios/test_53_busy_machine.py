"""53. The fast suite passes on a busy machine: here the tests that wait most. `make busy` runs all of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUSY = 8
PRONE = (
    "tests/cli/test_chat.py",
    "tests/cli/test_ask.py",
    "tests/pricing/test_waiting.py",
    "tests/scenarios/test_03_concurrent_budget.py",
    "tests/scenarios/test_07_cancelled_stream.py",
    "tests/scenarios/test_11_lost_answers.py",
    "tests/sdk/local/test_memory.py",
    "tests/sdk/test_client.py",
    "tests/sdk/test_closing.py",
    "tests/sdk/test_limiter.py",
)
"""Tests of interrupts, time limits, logs and queues."""


@pytest.fixture
def busy() -> Iterator[None]:
    """Eight processes that want all of a processor each."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    yield
    for process in spinning:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("busy")
def test_what_waits_most_passes_beside_eight_busy_processes() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-m", "not slow", "-p", "no:cacheprovider", *PRONE]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
