"""Token usage, durations and, if wanted, costs as OpenTelemetry metrics, by the GenAI semantic conventions.

Needs the extra: `pip install 'deepthrift[otel]'`. The conventions are in development; the names here are those that the
instrumentations of 2026 emit (open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-metrics.md). Cost is only a
proposal there (its pull request 443), so it is behind a switch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol, Self, TypeAlias, cast

from deepthrift_pricing._ledger.ledger import Ledger
from deepthrift_pricing._values.attempt import Attempt
from deepthrift_pricing._values.errors import ConfigurationError

__all__ = ["MeterProvider", "Telemetry"]

Attributes: TypeAlias = Mapping[str, str | int]

_TOKEN_BUCKETS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_SECOND_BUCKETS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)


class _Histogram(Protocol):
    def record(self, amount: float, attributes: Attributes | None = None) -> None: ...


class _Counter(Protocol):
    def add(self, amount: float, attributes: Attributes | None = None) -> None: ...


class _Meter(Protocol):
    def create_histogram(
        self, name: str, unit: str, description: str, *, explicit_bucket_boundaries_advisory: list[float]
    ) -> _Histogram: ...

    def create_counter(self, name: str, unit: str, description: str) -> _Counter: ...


class MeterProvider(Protocol):
    """The part of `opentelemetry.metrics.MeterProvider` that is used here."""

    def get_meter(self, name: str, /) -> object:
        """A meter of that name."""
        ...


class Telemetry:
    """Records every attempt that ends in this process, from the moment it is made until `close()`.

    - `gen_ai.client.token.usage`, a histogram of tokens: `gen_ai.token.type` is `input`, which includes cached tokens,
      or `output`, which includes reasoning. Usage that is not known is not recorded, as the conventions ask.
    - `gen_ai.client.operation.duration`, a histogram of seconds.
    - `gen_ai.client.cost`, a counter, with `cost=True` only: `gen_ai.usage.cost.currency` says what of.

        with Telemetry(ledger, cost=True):
            ...
    """

    def __init__(self, ledger: Ledger, *, meter_provider: MeterProvider | None = None, cost: bool = False) -> None:
        """Records what ends in `ledger`.

        Args:
            ledger: Where attempts are booked.
            meter_provider: By default the one that the application has set.
            cost: Whether to record costs too.

        Raises:
            ConfigurationError: OpenTelemetry is not installed.
        """
        try:
            metrics = importlib.import_module("opentelemetry.metrics")
        except ImportError as error:
            raise ConfigurationError("OpenTelemetry is not installed: pip install 'deepthrift[otel]'") from error
        provider: MeterProvider = meter_provider or metrics.get_meter_provider()
        meter = cast("_Meter", provider.get_meter("deepthrift"))
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=[float(edge) for edge in _TOKEN_BUCKETS],
        )
        self._seconds = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=list(_SECOND_BUCKETS),
        )
        self._cost = meter.create_counter("gen_ai.client.cost", "{cost}", "Cost of attempts.") if cost else None
        self._end: Callable[[], None] | None = ledger.subscribe(self._record)

    def close(self) -> None:
        """Record no more."""
        end, self._end = self._end, None
        if end is not None:
            end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _record(self, attempt: Attempt) -> None:
        shared: dict[str, str | int] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": attempt.host,
            "gen_ai.request.model": attempt.model,
            "deepthrift.mode": attempt.mode,
        }
        if attempt.effort is not None:
            shared["deepthrift.effort"] = attempt.effort
        if attempt.usage is not None and attempt.status == "settled":
            self._tokens.record(attempt.usage.prompt_tokens, {**shared, "gen_ai.token.type": "input"})
            self._tokens.record(attempt.usage.completion_tokens, {**shared, "gen_ai.token.type": "output"})
        if attempt.seconds is not None:
            self._seconds.record(attempt.seconds, {**shared, "error.type": attempt.error} if attempt.error else shared)
        if self._cost is not None and attempt.cost.total:
            about: dict[str, str | int] = {
                **shared,
                "gen_ai.usage.cost.currency": attempt.cost.currency,
                "gen_ai.usage.cost.source": "local",
                "deepthrift.certainty": attempt.cost.certainty,
            }
            # OpenTelemetry has binary floats only; the ledger stays the exact record.
            self._cost.add(float(attempt.cost.amount), about)
