"""Attempts as OpenTelemetry metrics, read back from the real SDK."""

from __future__ import annotations

import logging
import sys

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint

from deepthrift_pricing import Attempt, Usage
from deepthrift_pricing.errors import ConfigurationError
from deepthrift_pricing.otel import Telemetry
from tests.pricing.reports.books import open_books

Points = dict[str, list[HistogramDataPoint | NumberDataPoint]]


def points(reader: InMemoryMetricReader) -> Points:
    data = reader.get_metrics_data()
    found: Points = {}
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                found[metric.name] = list(metric.data.data_points)  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("cost", [True, False])
def test_usage_duration_and_cost_are_recorded_once_an_attempt(cost: bool) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    books = open_books()
    with Telemetry(books.ledger, meter_provider=provider, cost=cost):
        first = books.book(Usage.of(2000, 500, cache_hit=1536, reasoning=300), mode="thinking")
        again = books.ledger.attempt(first)
        assert again is not None
        books.ledger.settle(first, usage=again.usage, cost=again.cost, ended_at=books.now)
        books.book(None, status="released")
    books.book(Usage.of(10, 10))
    found = points(reader)
    tokens = {point.attributes["gen_ai.token.type"]: point for point in found["gen_ai.client.token.usage"]}
    assert {kind: (point.count, point.sum) for kind, point in tokens.items()} == {  # type: ignore[union-attr]
        "input": (1, 2000),
        "output": (1, 500),
    }
    assert tokens["input"].attributes["gen_ai.provider.name"] == "vllm"
    assert tokens["input"].attributes["deepthrift.mode"] == "thinking"
    assert sum(point.count for point in found["gen_ai.client.operation.duration"]) == 2  # type: ignore[union-attr]
    if cost:
        (spent,) = found["gen_ai.client.cost"]
        assert spent.value == pytest.approx(0.000043008 + 464 * 0.55e-6 + 500 * 1.68e-6)  # type: ignore[union-attr]
        assert spent.attributes["gen_ai.usage.cost.currency"] == "USD"
    else:
        assert "gen_ai.client.cost" not in found
    provider.shutdown()
    books.ledger.close()


def test_an_observer_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    books = open_books()
    seen: list[str] = []

    def fail(attempt: Attempt) -> None:
        raise RuntimeError("no")

    end = books.ledger.subscribe(fail)
    books.ledger.subscribe(lambda attempt: seen.append(attempt.id))
    with caplog.at_level(logging.ERROR):
        first = books.book(Usage.of(10, 10))
    assert "observer" in caplog.text
    end()
    second = books.book(None, status="unknown")
    assert seen == [first, second]
    books.ledger.close()


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    books = open_books()
    with pytest.raises(ConfigurationError, match="pip install"):
        Telemetry(books.ledger)
    books.ledger.close()
