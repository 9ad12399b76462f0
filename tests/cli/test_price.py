"""`deepthrift price`: the brief and official rows, and the reference cost."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_the_profiles_are_shown_and_the_brief_is_never_called_official(run: Run) -> None:
    ran = run("price")
    assert ran.code == 0
    assert "brief/thinking       thinking      0.028        0.55    1.68" in ran.out
    assert "official-2025-09-05  both           0.07        0.56    1.68" in ran.out
    assert "never an official table" in " ".join(ran.out.split())


def test_the_row_in_force_at_a_moment(run: Run) -> None:
    ask = ("price", "--host", "deepseek", "--model", "deepseek-chat", "--json", "--at")
    peak = run(*ask, "2025-08-30T12:00Z").json["prices"]
    off_peak = run(*ask, "2025-08-30T17:00Z").json["prices"]
    v31 = run(*ask, "2025-09-10").json["prices"]
    assert [row["completion"] for row in peak] == ["1.10"]
    assert [row["completion"] for row in off_peak] == ["0.55"]
    assert [(row["cache_hit"], row["cache_miss"], row["completion"]) for row in v31] == [("0.07", "0.56", "1.68")]


def test_no_price_is_an_error_and_never_zero(run: Run) -> None:
    ran = run("price", "--host", "nobody")
    assert ran.code == 1
    assert "no USD price in force" in ran.err
    assert run("price", "--host", "nobody", "--json").json["error"]["type"] == "PriceNotFound"
    assert run("price", "--prices", "nothing.toml").code == 2


def test_every_row_and_the_other_currency(run: Run) -> None:
    rows = run("price", "--host", "deepseek", "--all", "--currency", "CNY", "--json").json["prices"]
    assert len(rows) > 10
    assert {row["currency"] for row in rows} == {"CNY"}


def test_explain_gives_the_reference_cost(run: Run) -> None:
    usage = ("--prompt", "2000", "--cache-hit", "1536", "--completion", "500", "--reasoning", "300")
    ran = run("price", "explain", *usage)
    assert ran.code == 0
    assert "official-2025-09-05, standard and thinking mode: 0.00120736 USD" in ran.out
    found = run("price", "explain", *usage, "--prices", "brief", "--json").json
    totals = {entry["mode"]: Decimal(entry["cost"]["total"]["amount"]) for entry in found}
    assert totals == {"standard": Decimal("0.000382928"), "thinking": Decimal("0.001138208")}


@pytest.mark.parametrize(
    "usage",
    [
        ("--prompt", "1", "--cache-hit", "2", "--completion", "0"),
        ("--prompt", "1", "--completion", "1", "--reasoning", "2"),
        ("--prompt", "-1", "--completion", "1"),
    ],
)
def test_impossible_usage_is_refused(run: Run, usage: tuple[str, ...]) -> None:
    assert run("price", "explain", *usage).code == 2


def test_a_price_file_of_ones_own(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[[price]]\nid = "mine"\ncache_miss = "1"\ncompletion = "2"\nchecked = 2026-01-01\n')
    ran = run("price", "explain", "--prompt", "1000000", "--completion", "0", "--prices", str(file))
    assert ran.code == 0, ran.err
    assert "mine" in ran.out
    assert " 1 USD" in ran.out
    file.write_text("price = 3")
    assert run("price", "--prices", str(file)).code == 1
