"""How deeply an attempt was to think is on record, and lengths are told apart by it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepthrift_pricing import Ledger, Usage
from deepthrift_pricing.reports import export
from tests.pricing.ledgers import NOON, cost, wanted
from tests.support.databases import STORES, store_url

MODEL = {"host": "deepseek", "model": "deepseek-v4-pro"}
LENGTHS = {None: 200, "low": 100, "max": 900, "2048": 400}


@pytest.fixture(params=STORES)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    with store_url(request.param, tmp_path) as url, Ledger.open(url) as ledger:
        for effort, length in LENGTHS.items():
            asked = wanted(mode="thinking", **MODEL).model_copy(update={"effort": effort})
            attempt = ledger.try_reserve(asked)
            assert attempt.effort == effort
            usage = Usage.of(20, length, reasoning=length - 10)
            ledger.settle(attempt.id, usage=usage, cost=cost(), ended_at=NOON, finish_reason="stop")
        yield ledger


def test_it_stands_in_the_ledger(ledger: Ledger) -> None:
    assert {attempt.effort for attempt in ledger.attempts()} == set(LENGTHS)
    rows = {row.key["effort"]: row.completion_tokens for row in ledger.spend(by=("effort",))}
    assert rows == {effort or "": length for effort, length in LENGTHS.items()}


@pytest.mark.parametrize("effort", LENGTHS)
def test_lengths_are_those_of_the_same_effort(ledger: Ledger, effort: str | None) -> None:
    found = ledger.completion_history(mode="thinking", effort=effort, **MODEL)
    assert [usage.completion_tokens for usage in found] == [LENGTHS[effort]]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_it_is_exported(ledger: Ledger, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"attempts.{kind}"
    export(ledger, path)
    if kind == "csv":
        with path.open(encoding="utf-8", newline="") as file:
            found = {row["effort"] or None for row in csv.DictReader(file)}
    else:
        found = {json.loads(line)["effort"] for line in path.read_text("utf-8").splitlines()}
    assert found == set(LENGTHS)


def test_metrics_have_it_as_a_label_if_asked(ledger: Ledger) -> None:
    from prometheus_client import CollectorRegistry

    from deepthrift_pricing.prometheus import LedgerCollector

    registry = CollectorRegistry()
    registry.register(LedgerCollector(ledger, effort=True))
    labels = {**MODEL, "mode": "thinking"}
    for effort, length in LENGTHS.items():
        told = {**labels, "effort": effort or ""}
        assert registry.get_sample_value("deepthrift_completion_tokens_total", told) == length
    registry = CollectorRegistry()
    registry.register(LedgerCollector(ledger))
    assert registry.get_sample_value("deepthrift_completion_tokens_total", labels) == sum(LENGTHS.values())
