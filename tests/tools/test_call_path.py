"""One call lays out, counts and prices its conversation once; a routed answer once for each mode."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ONCE = {"laid out": 1, "checked": 1, "counted": 1, "priced": 1, "reserved": 1}
MOST = {"chat": ONCE, "stream": ONCE, "routed": {"laid out": 2, "checked": 4, "counted": 2, "priced": 4, "reserved": 2}}
"""A routed answer checks options that differ: those of both modes' bounds, and of its two calls."""


@pytest.mark.parametrize("kind", MOST)
def test_no_step_is_taken_more_often_than_needed(kind: str) -> None:
    """In a process of its own, for a profile function would count what the suite's other threads do."""
    script = (
        "import asyncio, json, sys; sys.path.insert(0, 'tools'); import call_path; "
        f"print(json.dumps(asyncio.run(call_path.walk({kind!r})).steps))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    steps: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    assert all(steps[step] for step in MOST[kind]), steps
    assert all(steps[step] <= most for step, most in MOST[kind].items()), steps
