"""Freezes the router's decisions on recorded questions, and shows what a change to the router does to them.

    python -m tools.freeze_router            compare every row with the fixture, and print what changed
    python -m tools.freeze_router --every 50 the same for every 50th row
    python -m tools.freeze_router --write    replace the fixture

The folder with the recordings is named by DEEPTHRIFT_ROUTER_DATA. The fixture, `tests/router/frozen/decisions.json.gz`,
holds one character per row, the number of rows, and a hash of their ids: no question, no answer. To compare with an
older fixture, take it out of git and name it: `--fixture old.json.gz`.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import string
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NotRequired, TypedDict

from deepthrift import AsyncClient
from deepthrift_pricing import AttemptRequest, Ledger, Mode, Price, PriceBook, Usage
from deepthrift_router import ModeRouter, Preferences
from deepthrift_router.evaluation import Outcome, decide_offline, read_outcomes
from tests.router.recorded import made_up

DATA: Final = "DEEPTHRIFT_ROUTER_DATA"
FOLDER: Final = os.environ.get(DATA)
"""Where the recordings lie; `None` where there are none."""
FIXTURE: Final = Path(__file__).parents[1] / "tests" / "router" / "frozen" / "decisions.json.gz"
MADE_UP: Final = "made_up"
"""Rows that need no recordings, so that something is compared everywhere."""
RECORDED: Final = (
    "farel_dsv3_dsr1",
    "medagents_dsv3_dsr1",
    "misguided_attention_pairs",
    "reasoning_gym_llama33_r1",
    "reasoning_gym_maverick_r1",
    "zeroeval_o1mini_pairs",
)
PROMPTS: Final = ("arena_hard_prompts",)
"""Questions without answers: the plan is all that can be frozen."""
SYMBOLS: Final = string.ascii_letters + string.digits
MODEL: Final = "deepseek-ai/DeepSeek-V3.1"
# Prices of its own: a correction in a price book must not look like a change of the router.
PRICE: Final = Price(
    id="frozen",
    cache_hit=Decimal("0.07"),
    cache_miss=Decimal("0.56"),
    completion=Decimal("1.68"),
    source="V3.1's price list of 2025-09-05",
    checked=date(2025, 9, 5),
)
CHUNK: Final = 250


class Setting(TypedDict):
    """The arguments of one router, and whether the lengths of both modes are on record."""

    policy: NotRequired[str]
    value: NotRequired[str]
    target_share: NotRequired[float]
    max_samples: NotRequired[int]
    recorded: NotRequired[bool]


SETTINGS: Final[Mapping[str, Setting]] = {
    "auto": {},
    "auto, a right answer is worth 0.004 USD": {"value": "0.004"},
    "auto, a right answer is worth 0.03 USD": {"value": "0.03"},
    "auto, one sample": {"max_samples": 1},
    "auto, lengths on record": {"recorded": True},
    "auto, threshold of a target share": {"target_share": 0.2},
    "cascade": {"policy": "cascade"},
}


@dataclass(frozen=True, slots=True)
class Rows:
    """One data set: its name, and its outcomes, which have no answers where only questions are recorded."""

    name: str
    outcomes: Sequence[Outcome]

    @property
    def ids(self) -> str:
        """A hash of the ids, in order."""
        return hashlib.sha256("\n".join(each.id for each in self.outcomes).encode()).hexdigest()


class FrozenSet(TypedDict):
    """What the fixture holds about one data set."""

    rows: int
    ids: str
    decisions: dict[str, str]
    """For each setting, one symbol per row."""


class Frozen(TypedDict):
    """The fixture."""

    legend: dict[str, str]
    """What each symbol means."""
    sets: dict[str, FrozenSet]


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed for one data set and setting."""

    name: str
    setting: str
    rows: int
    moves: Counter[tuple[str, str]]
    """How many rows went from one decision to another."""
    before: tuple[float, float] | None
    """Share of thinking calls and of right answers; `None` where no answers are recorded."""
    after: tuple[float, float] | None

    def __str__(self) -> str:
        changed = sum(self.moves.values())
        lines = [f"{self.name}, {self.setting}: {changed} of {self.rows} decisions changed"]
        if self.before is not None and self.after is not None:
            (thought, right), (thinks, rights) = self.before, self.after
            lines.append(f"  thinking {thought:.1%} → {thinks:.1%}, right {right:.1%} → {rights:.1%}")
        lines += [f"  {count:5} × {old} → {new}" for (old, new), count in self.moves.most_common(5)]
        return "\n".join(lines)


# The decisions


@cache
def router_of(setting: str) -> ModeRouter[AsyncClient]:
    """The router of one setting; nothing is sent, so its address does not exist."""
    wanted = SETTINGS[setting]
    ledger = Ledger.open("memory:")
    if wanted.get("recorded"):
        for number in range(20):
            _book(ledger, "standard", 40 + 10 * number)
            _book(ledger, "thinking", 400 + 100 * number)
    client = AsyncClient("http://127.0.0.1:9/v1", host="vllm", model=MODEL, prices=PriceBook([PRICE]), ledger=ledger)
    share = wanted.get("target_share")
    return ModeRouter(
        client,
        policy="cascade" if wanted.get("policy") == "cascade" else None,
        value_of_right_answer=wanted.get("value"),
        preferences=None if share is None else Preferences(target_share=share),
        max_samples=wanted.get("max_samples", 3),
    )


def _book(ledger: Ledger, mode: Mode, tokens: int) -> None:
    name, now = f"{mode}-{tokens}", datetime.now(UTC)
    usage = Usage.of(100, tokens)
    ledger.try_reserve(
        AttemptRequest(
            attempt_id=name,
            call_id=name,
            group_id=name,
            host="vllm",
            model=MODEL,
            mode=mode,
            prompt_tokens=100,
            max_tokens=8192,
            worst=PRICE.worst(100, 8192),
            price_ids=(PRICE.id,),
            started_at=now,
        )
    )
    ledger.settle(name, usage=usage, cost=PRICE.cost(usage), ended_at=now)


def decision(setting: str, outcome: Outcome, *, answers: bool) -> str:
    """One decision in words: the steps and the sample that is kept, or the plan where no answer is verified."""
    router = router_of(setting)
    offline = decide_offline(router, outcome) if answers else None
    if offline is None:
        return f"plan {router.plan(outcome.conversation, max_tokens=32_768).plan}"
    kept = f", keeps {offline.chosen + 1}" if offline.chosen else ""
    return " ".join(offline.path) + kept


def _decisions(task: tuple[str, bool, Sequence[Outcome]]) -> list[str]:
    setting, answers, outcomes = task
    return [decision(setting, each, answers=answers) for each in outcomes]


def decisions(rows: Rows, setting: str, pool: ProcessPoolExecutor | None = None) -> list[str]:
    """The decisions of one setting on every row, in order."""
    answers = rows.name not in PROMPTS
    parts = [rows.outcomes[start : start + CHUNK] for start in range(0, len(rows.outcomes), CHUNK)]
    tasks = [(setting, answers, part) for part in parts]
    done = map(_decisions, tasks) if pool is None else pool.map(_decisions, tasks)
    return [each for part in done for each in part]


# The data


def made_up_set() -> Rows:
    """The rows that need no recordings."""
    return Rows(MADE_UP, made_up(60))


def every_set() -> list[Rows]:
    """The made-up rows, and the recorded ones where the folder with them is known."""
    found = [made_up_set()]
    if FOLDER:
        found += [Rows(name, read_outcomes(Path(FOLDER) / f"{name}.jsonl.gz")) for name in RECORDED]
        found += [Rows(name, _prompts(Path(FOLDER) / f"{name}.jsonl.gz")) for name in PROMPTS]
    return found


def _prompts(path: Path) -> list[Outcome]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        raw = [json.loads(line) for line in lines]
    return [Outcome(id=each["id"], query=each["prompt"], dataset=each["kind"]) for each in raw]


# The fixture


def freeze(sets: Sequence[Rows], pool: ProcessPoolExecutor | None = None) -> Frozen:
    """The fixture of these data sets."""
    symbols: dict[str, str] = {}
    frozen: dict[str, FrozenSet] = {}
    for rows in sets:
        found: dict[str, str] = {}
        for setting in SETTINGS:
            words = decisions(rows, setting, pool)
            found[setting] = "".join(symbols.setdefault(each, SYMBOLS[len(symbols)]) for each in words)
            print(f"{rows.name}, {setting}: {dict(Counter(words).most_common())}", file=sys.stderr)
        frozen[rows.name] = FrozenSet(rows=len(rows.outcomes), ids=rows.ids, decisions=found)
    return Frozen(legend={symbol: words for words, symbol in symbols.items()}, sets=frozen)


def read(path: Path = FIXTURE) -> Frozen:
    """The fixture in `path`."""
    found: Frozen = json.loads(gzip.decompress(path.read_bytes()))
    return found


def write(frozen: Frozen, path: Path = FIXTURE) -> None:
    """Writes the fixture; the same decisions give the same bytes."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(frozen, sort_keys=True).encode(), mtime=0))


def compare(
    frozen: Frozen, rows: Rows, setting: str, every: int = 1, pool: ProcessPoolExecutor | None = None
) -> Difference:
    """What the router decides now on every so-many-th row, against the fixture.

    Raises:
        ValueError: The rows are not those that were frozen.
    """
    known = frozen["sets"].get(rows.name)
    if known is None or known["ids"] != rows.ids:
        raise ValueError(f"{rows.name}: these are not the rows that were frozen; compare with --write's own data")
    chosen = Rows(rows.name, rows.outcomes[::every])
    old = [frozen["legend"][symbol] for symbol in known["decisions"][setting][::every]]
    new = decisions(chosen, setting, pool)
    moves = Counter(pair for pair in zip(old, new, strict=True) if pair[0] != pair[1])
    graded = rows.name not in PROMPTS
    before, after = (_figures(chosen.outcomes, words) if graded else None for words in (old, new))
    return Difference(rows.name, setting, len(new), moves, before, after)


def _figures(outcomes: Sequence[Outcome], words: Sequence[str]) -> tuple[float, float]:
    thinks = [each.endswith("escalate") or "escalate," in each or each == "plan thinking" for each in words]
    kept = [int(each.rpartition(", keeps ")[2]) - 1 if ", keeps " in each else 0 for each in words]
    right = [
        each.thinking_right if thought else each.sample_right(sample)
        for each, thought, sample in zip(outcomes, thinks, kept, strict=True)
    ]
    return sum(thinks) / len(words), sum(right) / len(words)


def workers() -> ProcessPoolExecutor:
    """Processes for all rows, started anew: the tokenizer's threads do not survive a fork."""
    return ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1), mp_context=get_context("spawn"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="replace the fixture")
    parser.add_argument("--check", action="store_true", help="compare with the fixture; this is the default")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="look at every Nth row only")
    parser.add_argument("--fixture", type=Path, default=FIXTURE, metavar="FILE", help="another fixture")
    arguments = parser.parse_args()
    if not FOLDER:
        sys.exit(f"set {DATA} to the folder with the recorded outcomes (JSON Lines, gzip)")
    with workers() as pool:
        if arguments.write:
            write(freeze(every_set(), pool), arguments.fixture)
            return
        frozen = read(arguments.fixture)
        found = [compare(frozen, rows, name, arguments.every, pool) for rows in every_set() for name in SETTINGS]
    changed = [each for each in found if each.moves]
    print(*changed, sep="\n")
    total, rows = sum(sum(each.moves.values()) for each in found), sum(each.rows for each in found)
    print(f"{total} of {rows} decisions changed")
    sys.exit(1 if total else 0)


if __name__ == "__main__":
    main()
