"""What the router decides on recorded questions is what was frozen. When this fails, its decisions have changed.

`python -m tools.freeze_router` shows what changed. A change that is meant goes in with `--write`, and its commit quotes
what the tool printed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import freeze_router
from tools.freeze_router import (
    DATA,
    FIXTURE,
    FOLDER,
    MADE_UP,
    PROMPTS,
    RECORDED,
    SETTINGS,
    Rows,
    compare,
    every_set,
    made_up_set,
    read,
)

_FEW = 25
"""Rows of each data set in the fast test, spread over it."""


def test_a_sample_of_every_set_is_decided_as_before() -> None:
    """Where there are no recordings, the made-up rows are still compared."""
    frozen, sets = read(), every_set()
    assert [each.name for each in sets] == ([MADE_UP, *RECORDED, *PROMPTS] if FOLDER else [MADE_UP])
    every = {rows.name: max(1, len(rows.outcomes) // _FEW) for rows in sets}
    found = [compare(frozen, rows, setting, every[rows.name]) for rows in sets for setting in SETTINGS]
    assert "\n".join(str(each) for each in found if each.moves) == ""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not FOLDER, reason=f"{DATA} names no folder with recordings")
def test_every_row_is_decided_as_before() -> None:
    frozen = read()
    with freeze_router.workers() as pool:
        found = [compare(frozen, rows, setting, pool=pool) for rows in every_set() for setting in SETTINGS]
    assert "\n".join(str(each) for each in found if each.moves) == ""


def test_the_fixture_holds_decisions_and_nothing_else() -> None:
    frozen = read()
    assert FIXTURE.stat().st_size < 300_000
    assert {MADE_UP, *RECORDED, *PROMPTS} == frozen["sets"].keys()
    assert all(words.split()[0] in ("standard", "plan") for words in frozen["legend"].values())
    for known in frozen["sets"].values():
        assert known.keys() == {"rows", "ids", "decisions"}
        assert len(known["ids"]) == 64
        assert known["decisions"].keys() == SETTINGS.keys()
        for symbols in known["decisions"].values():
            assert len(symbols) == known["rows"]
            assert set(symbols) <= frozen["legend"].keys()


def test_a_changed_decision_is_reported_in_words(tmp_path: Path) -> None:
    rows = made_up_set()
    frozen = read()
    known = frozen["sets"][MADE_UP]["decisions"]
    symbols = {words: symbol for symbol, words in frozen["legend"].items()}
    known["auto"] = symbols["standard escalate"] * len(rows.outcomes)
    freeze_router.write(frozen, tmp_path / "old.json.gz")
    difference = compare(read(tmp_path / "old.json.gz"), rows, "auto")
    assert "made_up, auto: 57 of 60 decisions changed" in str(difference)
    assert "standard escalate → standard sample sample" in str(difference)
    assert difference.before is not None
    assert difference.before[0] == 1


def test_other_rows_are_not_compared() -> None:
    rows = made_up_set()
    with pytest.raises(ValueError, match="not the rows that were frozen"):
        compare(read(), Rows(MADE_UP, rows.outcomes[1:]), "auto")
