"""`deepthrift plan`: hosted against self-run, with every figure's origin."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.cli.conftest import Run

LOAD = ("plan", "--requests", "1000000", "--prompt", "2000", "--completion", "500", "--gpu-hour", "2.50")


def test_a_load_is_priced_both_ways_and_what_does_not_fit_is_said(run: Run) -> None:
    ran = run(*LOAD, "--cache-hit-share", "0.768")
    assert ran.code == 0
    text = " ".join(ran.out.split())
    assert "official-2025-09-05 $0.00120736 $1207.36" in text
    assert "80 GB cannot hold INT8 (350 GB, brief)" in text
    assert "128 GB cannot hold INT8 (350 GB, brief)" in text
    assert "so 120 tokens/s cannot have been reached on one of them" in text
    assert "no throughput is published" in text


def test_the_memory_of_all_weights_is_compared(run: Run) -> None:
    fits = {row["weights"]: row["machines"] for row in run(*LOAD, "--json").json["fits"]}
    assert fits["brief-full"] == []
    assert not any(name.startswith("brief") for name in fits["brief-int8"])
    assert "brief-high-volume" in fits["published-gguf-2bit"]
    assert "published-h200" in fits["published-fp8"]
    text = " ".join(run(*LOAD).out.split())
    assert "brief-full 1,300 GB none of these" in text


def test_a_machine_of_ones_own_has_a_cost_and_a_break_even(run: Run) -> None:
    own = ("--gpus", "8", "--memory-gb", "1128", "--tokens-per-second", "20000", "--prompt-tokens-per-second", "200000")
    found = run(*LOAD, *own, "--weights", "published-fp8", "--prices", "official-2025-09-05", "--json").json
    (plan,) = found["plans"]
    (option,) = plan["machines"]
    assert option["fits"] is True
    assert option["per_month"] == {"amount": "14600", "currency": "USD"}
    (point,) = option["break_even"].values()
    per_request = Decimal(plan["hosted"][0]["per_request"]["amount"])
    assert per_request * point >= 14600 > per_request * (point - 1)


def test_the_list_names_every_source(run: Run) -> None:
    found = run("plan", "--list", "--json").json
    assert {row["origin"] for row in found["machines"] + found["weights"]} == {"brief", "published"}
    assert all(row["source"] for row in found["machines"] + found["weights"])
    assert "brief-domestic" in run("plan", "--list").out


@pytest.mark.parametrize(
    "wrong",
    [
        ("plan",),
        ("plan", "--requests", "1"),
        (*LOAD, "--gpu-hour", "0"),
        (*LOAD, "--gpu-hour", "much"),
        (*LOAD, "--cache-hit-share", "1.5"),
        (*LOAD, "--peak", "0.5"),
        (*LOAD, "--machine", "mine"),
        (*LOAD, "--weights", "lead"),
        (*LOAD, "--gpus", "8"),
        (*LOAD, "--prices", "nothing"),
    ],
)
def test_wrong_usage_is_refused(run: Run, wrong: tuple[str, ...]) -> None:
    assert run(*wrong).code == 2
