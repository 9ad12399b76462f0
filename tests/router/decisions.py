"""What the router decides on recorded rows, in a form that can be kept and compared.

python -m tests.router.decisions              says what has changed since the decisions were frozen
python -m tests.router.decisions --freeze     freezes them anew, which a change of the router has to justify

It needs the recorded rows: DEEPTHRIFT_ROUTER_DATA names their folder. The frozen file holds hashes and numbers, no
text.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from deepthrift import AsyncClient
from deepthrift_router import ModeRouter
from deepthrift_router.evaluation import Outcome, read_outcomes
from deepthrift_router.evaluation._end_to_end import decide_offline
from tests.router.recorded import made_up, spread
from tests.support.doors import settings

FROZEN: Final = Path(__file__).parent / "data" / "decisions.jsonl"
FOLDER: Final = os.environ.get("DEEPTHRIFT_ROUTER_DATA")
MADE_UP: Final = "made up"
_ROWS: Final = 120
"""Of each recorded file, evenly spread over it."""


class Decided(NamedTuple):
    """What was decided of one row."""

    source: str
    key: str
    """A hash of the row's id and question."""
    plan: str
    """What the router would begin with."""
    path: str
    """The steps that would follow on the recorded answers; empty where it does not begin with a standard answer."""
    p_standard: float
    p_thinking: float
    """Of the question alone where the path is empty, else on all the evidence."""


def decided(rows: Iterable[Outcome], source: str) -> Iterator[Decided]:
    """The decisions on `rows`, with the shipped setting, prices that stay as they are, and nothing on record."""
    router = ModeRouter(AsyncClient(**settings("http://127.0.0.1:9/v1")))
    for row in rows:
        plan = router.plan(row.conversation, max_tokens=32_768)
        found = decide_offline(router, row) if row.graded else None
        belief = plan if found is None else found.belief
        path = "" if found is None else " ".join(found.path)
        key = hashlib.blake2b(f"{row.id}\0{row.question}".encode(), digest_size=8).hexdigest()
        yield Decided(source, key, plan.plan, path, round(belief.p_standard, 6), round(belief.p_thinking, 6))


def now(folder: str | None = FOLDER) -> list[Decided]:
    """The decisions of today: on the made-up rows, and on the recorded ones where they are at hand."""
    found = [*decided(made_up(), MADE_UP)]
    for path in sorted(Path(folder).glob("*.jsonl.gz")) if folder else ():
        rows = [row for row in read_outcomes(path) if row.question.strip()]  # some files hold no questions
        found += decided(spread(rows, _ROWS), path.name.partition(".")[0])
    return found


def frozen() -> list[Decided]:
    """The decisions as they were frozen."""
    return [Decided(*json.loads(line)) for line in FROZEN.read_text().splitlines()]


def differences(before: Iterable[Decided], after: Iterable[Decided]) -> list[str]:
    """What has changed, in words: one line for each row."""
    known = {(each.source, each.key): each for each in before}
    lines: list[str] = []
    for each in after:
        old = known.get((each.source, each.key))
        if old is None:
            lines.append(f"{each.source} {each.key}: new")
        elif old != each:
            lines.append(f"{each.source} {each.key}: {old[2:]} is now {each[2:]}")
    return lines


def main() -> None:
    """See the module."""
    if not FOLDER:
        sys.exit("DEEPTHRIFT_ROUTER_DATA names no folder of recorded rows")
    found = now()
    if "--freeze" in sys.argv[1:]:
        FROZEN.parent.mkdir(exist_ok=True)
        FROZEN.write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in found))
        return
    changed = differences(frozen(), found)
    print("\n".join(changed))
    print(f"{len(changed)} of {len(found)} decisions have changed")
    paths = Counter((each.source, each.path or each.plan) for each in found)
    for (source, path), count in sorted(paths.items()):
        print(f"{source}: {count} × {path}")


if __name__ == "__main__":
    main()
