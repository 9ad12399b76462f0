"""Spend, tokens, attempts and budgets of a ledger as Prometheus metrics.

Needs the extra: `pip install 'deepthrift[prometheus]'`. Nothing is counted beside the ledger: each scrape asks it, so
that a restarted process goes on where it was, and one exporter speaks for all processes that share the ledger.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from deepthrift_pricing._ledger.ledger import Ledger
from deepthrift_pricing._values.budget import BudgetStatus
from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing._values.money import Money

if TYPE_CHECKING:
    from prometheus_client import Metric

__all__ = ["LedgerCollector"]

_WHERE: Final = ("host", "model", "mode")
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ENDED: Final = ("settled", "released")


class LedgerCollector:
    """A collector for a registry of `prometheus_client`: `REGISTRY.register(LedgerCollector(ledger))`.

    Counters, by host, model and mode, and by effort if you ask for it:

    - `deepthrift_spend_total`: what was settled, in the currency of its label, and the part of it that was billed by
      request (searches, fetched pages), `deepthrift_spend_requests_total`.
    - `deepthrift_prompt_tokens_total`, by `cache`, which is `hit` or `miss`.
    - `deepthrift_completion_tokens_total`, reasoning included, and the part of it, `deepthrift_reasoning_tokens_total`.
    - `deepthrift_attempts_total`, by `purpose` and `status`, which is `settled` or `released`. Those whose purpose is
      `escalate` are the escalations.
    - `deepthrift_attempt_errors_total`, by `host` and `error`, the name of its class.
    - `deepthrift_refusals_total`: calls that a budget refused, by host, model, mode and `budget`. One that two budgets
      refuse counts in both.

    Gauges:

    - `deepthrift_attempts_open`, by the same and `status`: `reserved`, under way, or `unknown`, whose bill nobody
      knows; `deepthrift_spend_held`, with the currency too: the worst cases that are booked for them.
    - `deepthrift_budget_limit`, `_spent`, `_reserved`, `_left` and `_unknown`, by `budget` and `currency`. Of a budget
      that counts each call, answer or tag value apart, the part with the least room is shown.

    A counter never falls, not even when old attempts are pruned from the ledger. Prometheus has binary floats only; the
    ledger stays the exact record.
    """

    def __init__(self, ledger: Ledger, *, tags: Sequence[str] = (), effort: bool = False) -> None:
        """A collector of what `ledger` holds.

        Args:
            ledger: Where attempts are booked. It has to stay open as long as metrics are collected.
            tags: Names of tags that become labels of spend and tokens, `tag_NAME`. Each value of a tag is a series of
                its own: take names with few values, such as a team's, not a user's.
            effort: Whether spend, tokens and attempts have a label `effort`; it's empty where a call named none.

        Raises:
            ConfigurationError: A tag cannot be a label, or prometheus-client is not installed.
        """
        try:
            import prometheus_client.core
        except ImportError as error:
            raise ConfigurationError(
                "prometheus-client is not installed: pip install 'deepthrift[prometheus]'"
            ) from error
        for tag in tags:
            if not _NAME.fullmatch(tag):
                raise ConfigurationError(f"the tag {tag!r} cannot be a label: letters, digits and '_' only")
        self._counter = prometheus_client.core.CounterMetricFamily
        self._gauge = prometheus_client.core.GaugeMetricFamily
        self._ledger = ledger
        self._tags = tuple(tags)
        self._where = (*_WHERE, "effort") if effort else _WHERE
        self._before: dict[str, _Values] = {}
        self._pruned: dict[str, _Values] = {}
        self._lock = threading.Lock()

    def collect(self) -> Iterable[Metric]:
        """What the ledger holds at this moment; `prometheus_client` asks for it at each scrape.

        Raises:
            LedgerError: The ledger is closed or cannot be read.
        """
        with self._lock:  # an older look at the ledger that comes in later would pass for a pruned one
            return [*self._spend(), *self._attempts(), *self._refusals(), *self._budgets()]

    def _spend(self) -> Iterator[Metric]:
        tags = [f"tag:{tag}" for tag in self._tags]
        labels = [*self._where, *(f"tag_{tag}" for tag in self._tags)]
        spend, prompt, completion, reasoning = _Values(), _Values(), _Values(), _Values()
        requests = _Values()
        held = self._gauge(
            "deepthrift_spend_held",
            "Worst cases held for attempts that are under way or whose bill is unknown.",
            labels=[*labels, "currency", "status"],
        )
        for row in self._ledger.spend(by=(*self._where, *tags, "status")):
            *where, status = row.key.values()
            if status == "settled":
                spend[*where, row.total.currency] += float(row.total.amount)
                if row.requests:
                    requests[*where, row.total.currency] += float(row.requests.amount)
                prompt[*where, "hit"] += row.cache_hit_tokens
                prompt[*where, "miss"] += row.prompt_tokens - row.cache_hit_tokens
                completion[*where,] += row.completion_tokens
                reasoning[*where,] += row.reasoning_tokens
            elif status != "released":
                amount = row.reserved if status == "reserved" else row.unknown
                held.add_metric([*where, row.total.currency, status], float(amount.amount))
        yield self._counted("deepthrift_spend", "Settled spend.", [*labels, "currency"], spend)
        yield held
        told = "The part of settled spend that is billed by request: searches, fetched pages."
        yield self._counted("deepthrift_spend_requests", told, [*labels, "currency"], requests)
        yield self._counted("deepthrift_prompt_tokens", "Prompt tokens.", [*labels, "cache"], prompt)
        told = "Generated tokens, reasoning included."
        yield self._counted("deepthrift_completion_tokens", told, labels, completion)
        yield self._counted("deepthrift_reasoning_tokens", "Generated tokens of reasoning.", labels, reasoning)

    def _attempts(self) -> Iterator[Metric]:
        ended, still, failed = _Values(), _Values(), _Values()
        for row in self._ledger.spend(by=(*self._where, "status", "purpose")):
            *where, status, purpose = row.key.values()
            if status in _ENDED:
                ended[*where, purpose, status] += row.attempts
            else:
                still[*where, status] += row.attempts
        for row in self._ledger.spend(by=("host", "error")):
            host, error = row.key.values()
            if error:
                failed[host, error] += row.attempts
        yield self._counted("deepthrift_attempts", "Attempts that ended.", [*self._where, "purpose", "status"], ended)
        told = "Attempts under way, or whose bill is unknown."
        family = self._gauge("deepthrift_attempts_open", told, labels=[*self._where, "status"])
        for labels, count in still.items():
            family.add_metric(labels, count)
        yield family
        yield self._counted("deepthrift_attempt_errors", "Attempts that failed.", ["host", "error"], failed)

    def _refusals(self) -> Iterator[Metric]:
        refused = _Values()
        for row in self._ledger.refusals():
            refused[row.budget, row.host, row.model, row.mode] += row.refused
        yield self._counted("deepthrift_refusals", "Calls that a budget refused.", ["budget", *_WHERE], refused)

    def _budgets(self) -> Iterator[Metric]:
        tightest: dict[tuple[str, str], BudgetStatus] = {}
        for status in self._ledger.budget_status():
            key: tuple[str, str] = (status.name, status.limit.currency)
            if key not in tightest or status.left < tightest[key].left:
                tightest[key] = status
        figures = {
            "limit": "What the budget allows in its window.",
            "spent": "Settled, and held as unknown, in the window of this moment.",
            "reserved": "Worst cases of attempts under way.",
            "left": "What a further attempt may cost at most.",
            "unknown": "The part of what is spent that is held at its worst case.",
        }
        for figure, told in figures.items():
            family = self._gauge(f"deepthrift_budget_{figure}", told, labels=["budget", "currency"])
            for labels, status in tightest.items():
                amount: Money = getattr(status, figure)
                family.add_metric(labels, float(amount.amount))
            yield family

    def _counted(self, name: str, told: str, labels: Sequence[str], values: _Values) -> Metric:
        """A counter that goes on from where it was when the ledger holds less than at the last look."""
        family = self._counter(name, told, labels=labels)
        before, pruned = self._before.setdefault(name, _Values()), self._pruned.setdefault(name, _Values())
        for key in {*before, *values}:
            pruned[key] += max(0.0, before[key] - values[key])
            before[key] = values[key]
            family.add_metric(key, values[key] + pruned[key])
        return family


class _Values(dict[tuple[str, ...], float]):
    """A number for each set of label values; 0 where there is none yet."""

    def __missing__(self, key: tuple[str, ...]) -> float:
        return 0.0
