"""No test sleeps for a fixed time to wait for something: on a busy machine it would not have come yet.

Wait on the event itself: `tests/support/waiting.py`, `BillServer.until`, an `Event`, a clock of the test's own.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parent
HANG: Final = 60.0
"""Seconds from which a sleep stands for what never ends by itself; the test ends it."""
ALLOWED: Final = {
    ("scenarios/test_32_ledger_never_stops_the_loop.py", "turns"): "each turn is a proof that the loop goes on",
    ("scenarios/test_11_cancel_anywhere.py", "test_many_calls_may_be_cancelled_together"): "any moment will do",
    (
        "scenarios/test_11_cancel_anywhere.py",
        "test_a_call_may_be_cancelled_after_any_step",
    ): "the moment varies",
    ("router/test_cancel_anywhere.py", "test_cancelled_after_any_turn"): "the moment varies",
    ("sdk/test_failover.py", "test_a_call_may_be_cancelled_on_any_way"): "the moment varies",
    ("sdk/test_closing.py", "test_calls_that_begin_while_it_is_closed_end_in_some_way"): "the moment varies",
    ("sdk/test_transport.py", "test_cancellation_at_any_moment_gives_the_place_back"): "the moment varies",
    ("pricing/test_processes.py", ""): "kills at random moments, in the program of a test",
    ("sdk/local/test_engine_ends.py", "test_a_cancelled_start_leaves_nothing"): "the moment varies",
    ("sdk/local/test_engine_ends.py", "one"): "a storm: the time limit around it is what ends it",
    ("sdk/local/test_supervision.py", "test_an_answer_is_no_idleness"): "a reader that is slow on purpose",
    ("sdk/middleware/test_unreserved.py", "find_answer"): "a cache that is slow on purpose",
    ("support/http11.py", "pause"): "a server that is slow on purpose",
}
"""Fixed sleeps that wait for nothing: the file, the function, and why. What calls `pause` waits for nothing either."""
SLEEP_IN_TEXT: Final = re.compile(r"\bsleep\((\d+(?:\.\d+)?)\)")


def fixed_sleeps(path: Path) -> Iterator[tuple[str, int]]:
    """The function and the line of every sleep that is no part of looking again and again for something."""

    def walk(node: ast.AST, function: str, polls: bool) -> Iterator[tuple[str, int]]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function, polls = node.name, False
        elif isinstance(node, ast.While):
            # `while True` looks for nothing by itself.
            polls = not isinstance(node.test, ast.Constant)
        elif isinstance(node, ast.For | ast.AsyncFor):
            polls = False
        elif isinstance(node, ast.Call) and _is_sleep(node.func):
            if not polls and not _harmless(node.args[0]):
                yield function, node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "sleep(" in node.value:
            yield from ((function, node.lineno) for _ in _in_text(node.value))
        for child in ast.iter_child_nodes(node):
            yield from walk(child, function, polls)

    def _in_text(text: str) -> Iterator[tuple[str, int]]:
        """The sleeps in the program of a test; where it is no whole program, those of a number of seconds."""
        try:
            yield from walk(ast.parse(textwrap.dedent(text)), "", polls=False)
        except SyntaxError:
            yield from (("", 0) for seconds in SLEEP_IN_TEXT.findall(text) if 0 < float(seconds) < HANG)

    yield from walk(ast.parse(path.read_text("utf-8")), "", polls=False)


def _is_sleep(called: ast.expr) -> bool:
    return (isinstance(called, ast.Attribute) and called.attr == "sleep") or (
        isinstance(called, ast.Name) and called.id == "sleep"
    )


def _harmless(seconds: ast.expr) -> bool:
    """Whether it gives way for a turn, or hangs until it is ended."""
    if not isinstance(seconds, ast.Constant) or not isinstance(seconds.value, int | float):
        return False
    return seconds.value == 0 or seconds.value >= HANG


def found() -> list[tuple[str, str, int]]:
    paths = sorted(path for path in TESTS.rglob("*.py") if path != Path(__file__))
    return [
        (path.relative_to(TESTS).as_posix(), function, line) for path in paths for function, line in fixed_sleeps(path)
    ]


def test_no_test_sleeps_for_a_fixed_time_to_wait_for_something() -> None:
    """When this fails, wait on the event itself. A sleep that waits for nothing goes into `ALLOWED`."""
    assert [f"{path}:{line} in {name}" for path, name, line in found() if (path, name) not in ALLOWED] == []


def test_what_is_allowed_is_still_there() -> None:
    assert ALLOWED.keys() - {(path, function) for path, function, _ in found()} == set()


@pytest.mark.parametrize(
    ("code", "fixed"),
    [
        ("async def f():\n    await asyncio.sleep(0.1)", True),
        ("def f():\n    time.sleep(2)", True),
        ("from time import sleep\nsleep(1)", True),
        ("def f(pause):\n    time.sleep(pause)", True),
        ("while True:\n    time.sleep(0.1)", True),
        ("for _ in range(100):\n    time.sleep(0.1)", True),
        ("PROGRAM = 'import time; time.sleep(0.5)'", True),
        ("async def f():\n    await asyncio.sleep(0)", False),
        ("async def f():\n    await asyncio.sleep(60)", False),
        ("def f():\n    while not done():\n        time.sleep(0.01)", False),
        ("PROGRAM = 'import time; time.sleep(600)'", False),
        ("PROGRAM = 'while not ready():\\n    time.sleep(0.1)'", False),
        ("PROGRAM = 'said {} and slept: sleep(3'", False),
        ("PROGRAM = '{ sleep(3)'", True),
    ],
)
def test_a_fixed_sleep_is_told_from_looking_again(code: str, fixed: bool, tmp_path: Path) -> None:
    path = tmp_path / "test_it.py"
    path.write_text(code, "utf-8")
    assert bool(list(fixed_sleeps(path))) is fixed
