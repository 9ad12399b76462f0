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


def test_the_comparison_models_service_tiers_and_stale_rows_are_shown(run: Run, tmp_path: Path) -> None:
    rows = run("price", "--prices", "comparison", "--json").json["prices"]
    assert [(row["cache_miss"], row["completion"]) for row in rows] == [
        ("1.75", "14.00"),
        ("5.00", "25.00"),
        ("0.08", "0.30"),
    ]
    assert [row["id"] for row in run("price", "--host", "bedrock", "--json").json["prices"]] == ["bedrock/v3.1/usd"]
    [flex] = run("price", "--host", "bedrock", "--tier", "flex", "--json").json["prices"]
    assert flex["completion"] == "0.84"
    assert len(run("price", "--host", "bedrock", "--all", "--json").json["prices"]) == 4
    file = tmp_path / "old.toml"
    file.write_text('host = "h"\nchecked = 2020-01-01\n[[price]]\nid = "old"\ncache_miss = "1"\ncompletion = "2"\n')
    assert "compare it again" in run("price", "--prices", str(file)).out


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


def test_explain_knows_the_end_of_a_request_and_its_tier(run: Run) -> None:
    usage = ("price", "explain", "--prompt", "2000", "--completion", "500", "--mode", "standard", "--json")
    peak = ("--host", "deepseek", "--model", "deepseek-flash", "--at", "2026-11-23T00:59Z")
    [before] = run(*usage, *peak).json
    [across] = run(*usage, *peak, "--ended", "2026-11-23T01:01Z").json
    assert (before["cost"]["total"]["amount"], before["cost"]["certainty"]) == ("0.0006", "exact")
    assert (across["cost"]["total"]["amount"], across["cost"]["certainty"]) == ("0.0012", "estimated")
    assert "the dearer is booked" in across["decision"]
    [batch] = run(*usage, "--host", "bedrock", "--model", "deepseek.v3.1", "--tier", "batch").json
    assert batch["cost"]["total"]["amount"] == "0.001"


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
    file.write_text('host = "mine"\nmodels = ["m"]\nchecked = 2026-11-01\n' + file.read_text())
    assert run("price", "explain", "--prompt", "1", "--completion", "0", "--prices", str(file)).code == 0
    file.write_text("price = 3")
    assert run("price", "--prices", str(file)).code == 2


def test_a_calendar_that_ends_soon_is_told_once(run: Run) -> None:
    said = run("price", "--host", "deepseek", "--at", "2026-12-01T02:00Z").out
    assert said.count("the holiday calendar of deepseek ends on 2027-01-01") == 1
    assert "holiday calendar" not in run("price", "--host", "deepseek", "--at", "2026-11-01T02:00Z").out
    shown = run("price", "--host", "deepseek", "--at", "2027-01-10T02:00Z", "--json").json
    assert [each["ended"] for each in shown["ending_calendars"]] == [True]


def test_requests_are_shown_and_worked_out(run: Run) -> None:
    assert "per 1,000 requests: search 0.75, fetch 0.75" in run("price", "--host", "deepseek", "--at", "2026-11-30").out
    said = run(
        "price", "explain", "--prompt", "10", "--completion", "1", "--host", "deepseek", "--model", "deepseek-flash",
        "--at", "2026-11-30T12:00Z", "--requests", "search=2",
    ).out  # fmt: skip
    assert "2 search × 0.75 ÷ 1,000 requests = 0.0015" in said
    refused = run("price", "explain", "--prompt", "1", "--completion", "1", "--requests", "search")
    assert refused.code != 0
    assert "write KIND=N" in " ".join(refused.err.split() + refused.out.split())
