"""Whatever was written when a process died, another run knows which rows may be billed."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from deepthrift.batch._journal import JournalHeader, RowProgress, read_results, replay
from deepthrift.batch._result import Outcome

LINES = 4
HEAD = JournalHeader("0" * 64, LINES, LINES, "m", None, False, "USD")
STEPS = st.lists(
    st.tuples(st.integers(1, LINES), st.sampled_from(["started", "unsent", "answered", "failed", "unanswered"])),
    max_size=24,
)


def result(line: int, outcome: str) -> bytes:
    return json.dumps({"custom_id": str(line), "deepthrift": {"line": line, "outcome": outcome, "cost": None}}).encode()


def history(steps: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Those of `steps` that a batch could take: what was not begun cannot end."""
    begun: set[int] = set()
    taken: list[tuple[int, str]] = []
    for line, what in steps:
        if (what == "started") is (line in begun):
            continue
        begun ^= {line}
        taken.append((line, what))
    return taken


@given(STEPS, st.integers(0, 24), st.integers(0, 200))
def test_nothing_that_was_sent_is_forgotten(steps: list[tuple[int, str]], after: int, torn: int) -> None:
    """The process dies after so many writes, in the middle of the last one."""
    taken = history(steps)[:after]
    writes = [
        ("journal", b'{"%s": %d}\n' % (what.encode(), line))
        if what in ("started", "unsent")
        else ("out", result(line, what) + b"\n")
        for line, what in taken
    ]
    if writes:
        file, data = writes[-1]
        writes[-1] = (file, data[: torn % (len(data) + 1)])
    last = writes[-1][1] if writes else b"\n"
    counted = taken if last.endswith(b"\n") else taken[:-1]
    if (
        taken
        and counted is not taken
        and taken[-1][1] not in ("started", "unsent")
        and len(last) == len(result(*taken[-1]))
    ):
        counted = taken  # the line feed alone is missing

    with tempfile.TemporaryDirectory() as folder:
        journal, out = Path(folder, "out.journal"), Path(folder, "out")
        journal.write_bytes(HEAD.line() + b"".join(data for file, data in writes if file == "journal"))
        out.write_bytes(b"".join(data for file, data in writes if file == "out"))
        for _ in range(2):  # reading mends a torn end, and reading again says the same
            known = RowProgress(LINES)
            descriptors = [os.open(path, os.O_RDWR | os.O_APPEND) for path in (journal, out)]
            try:
                assert asyncio.run(replay(descriptors[0], journal, HEAD, known, source=Path("in"), out=out))
                for line, outcome, _cost in read_results(descriptors[1], out):
                    known.ended(line, outcome)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            begun: set[int] = set()
            outcomes: dict[int, Outcome | str] = {}
            for line, what in counted:
                begun ^= {line}
                if what not in ("started", "unsent"):
                    outcomes[line] = what
            assert set(known.interrupted_lines()) == begun
            assert [known.outcome(line) for line in range(1, LINES + 1)] == [
                outcomes.get(line, "unsent") for line in range(1, LINES + 1)
            ]
