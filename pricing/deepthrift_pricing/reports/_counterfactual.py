"""What the same traffic would have cost done otherwise, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing._prices.book import PriceBook
from deepthrift_pricing._prices.price import Price
from deepthrift_pricing._values.attempt import Attempt
from deepthrift_pricing._values.errors import PriceNotFound
from deepthrift_pricing._values.money import Currency, Money
from deepthrift_pricing._values.usage import Mode, Usage
from deepthrift_pricing.reports._statistics import bootstrap_mean

LEAST_RECORDED: Final = 3
"""Recorded completions of a mode below which nothing is said about the ones that were not made."""
_HISTORY: Final = 500

Basis: TypeAlias = Literal["exact", "estimated", "unknown"]


class Counterfactual(BaseModel):
    """The cost of the other way, and what was saved against it, everything counted that was really spent."""

    model_config = ConfigDict(frozen=True)

    name: str
    """`always thinking`, `always standard`, `no cache`, or a model elsewhere."""
    cost: Money | None
    """What it would have cost; `None` when nobody knows."""
    low: Money | None = None
    """Lower end of the 95 % interval of `cost`."""
    high: Money | None = None
    saved: Money | None = None
    """`cost` less what was really spent; negative when the other way had been cheaper."""
    basis: Basis
    reason: str
    """What the figure rests on, or why there is none."""


@dataclass(frozen=True, slots=True)
class _Sum:
    cost: int = 0
    low: int = 0
    high: int = 0
    measured: int = 0
    estimated: int = 0
    unknown: int = 0
    why: str = ""


def always(mode: Mode, attempts: Sequence[Attempt], prices: PriceBook, spent: Money) -> Counterfactual:
    """Every answer in one mode: its own attempts in that mode where it ran, else recorded completions of the mode.

    The prompt counts as it was sent first, with the cache hits that it had. Audits are left out of the other way.
    """
    lengths = _lengths(attempts, mode)
    total = _Sum()
    for group in _groups(attempts):
        total = _plus(total, _answer_in(mode, group, lengths, prices))
    return _told(f"always {mode}", total, spent)


def no_cache(attempts: Iterable[Attempt], prices: PriceBook, spent: Money) -> Counterfactual:
    """The same tokens, every cache hit paid as a miss."""
    rows = {row.id: row for row in prices.rows}
    extra = unknown = 0
    for attempt in attempts:
        if attempt.usage is None or not attempt.usage.cache_hit_tokens:
            continue
        row = next((rows[name] for name in attempt.cost.price_ids if name in rows), None)
        if row is None:
            unknown += 1
            continue
        hit, miss, _ = row.rates(attempt.usage.prompt_tokens)
        extra += (miss - hit) * attempt.usage.cache_hit_tokens
    if unknown:
        reason = f"the price rows of {unknown} attempts are not in the price book given"
        return Counterfactual(name="no cache", cost=None, basis="unknown", reason=reason)
    cost = Money(spent.pico + extra, spent.currency)
    return Counterfactual(
        name="no cache",
        cost=cost,
        low=cost,
        high=cost,
        saved=cost - spent,
        basis="exact",
        reason="the same tokens with every cache hit at the price of a miss",
    )


def elsewhere(attempts: Iterable[Attempt], price: Price, spent: Money) -> Counterfactual:
    """The same token counts at another model's price, one standard call for each answer's work as it was done."""
    usages = [attempt.usage for attempt in attempts if attempt.usage is not None and attempt.status == "settled"]
    if price.currency != spent.currency:
        reason = f"its price is in {price.currency}, and the spend in {spent.currency}"
        return Counterfactual(name=price.id, cost=None, basis="unknown", reason=reason)
    # Its host's own searches are no part of the tokens; another host may have none.
    tokens = (usage.model_copy(update={"requests": {}}) if usage.requests else usage for usage in usages)
    cost = Money.sum((price.cost(usage).total for usage in tokens), spent.currency)
    return Counterfactual(
        name=price.id,
        cost=cost,
        saved=cost - spent,
        basis="estimated",
        reason="the same token counts at the price there; the tokenizer and the length of answers differ",
    )


def _groups(attempts: Iterable[Attempt]) -> list[list[Attempt]]:
    groups: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        if attempt.purpose != "audit" and attempt.status in ("settled", "unknown"):
            groups.setdefault(attempt.group_id, []).append(attempt)
    return list(groups.values())


@dataclass(frozen=True, slots=True)
class _Length:
    """Completion tokens of one mode, as recorded: the mean and the ends of its interval."""

    recorded: int = 0
    mean: float = 0.0
    low: float = 0.0
    high: float = 0.0


def _lengths(attempts: Iterable[Attempt], mode: Mode) -> dict[tuple[str, str], _Length]:
    """By host and model; under an empty model, of all models of the host, for two modes may go by two names."""
    found: dict[tuple[str, str], list[int]] = {}
    for attempt in attempts:
        if attempt.mode == mode and attempt.usage is not None and attempt.usage.certainty == "exact":
            for key in ((attempt.host, attempt.model.lower()), (attempt.host, "")):
                found.setdefault(key, []).append(attempt.usage.completion_tokens)
    return {
        key: _Length(len(tokens), *bootstrap_mean(tokens[-_HISTORY:]))
        for key, tokens in found.items()
        if len(tokens) >= LEAST_RECORDED
    }


def _answer_in(
    mode: Mode, group: Sequence[Attempt], lengths: Mapping[tuple[str, str], _Length], prices: PriceBook
) -> _Sum:
    """One answer in `mode`, from its own first call in that mode, else from the record."""
    first = group[0]
    own = [attempt for attempt in group if attempt.mode == mode]
    if own:
        call = own[0].call_id
        cost = sum(attempt.cost.total.pico for attempt in own if attempt.call_id == call)
        return _Sum(cost, cost, cost, measured=1)
    if first.usage is None:
        return _Sum(unknown=1, why="of some answers no usage is known")
    length = lengths.get((first.host, first.model.lower())) or lengths.get((first.host, ""))
    if length is None:
        return _Sum(unknown=1, why=f"an estimate needs {LEAST_RECORDED} recorded {mode} calls at {first.host}")
    try:
        price = prices.find(
            host=first.host,
            model=first.model,
            mode=mode,
            at=first.started_at,
            currency=first.cost.currency,
            tier=first.service_tier or "standard",
        )
    except PriceNotFound:
        return _Sum(unknown=1, why=f"{first.model} at {first.host} has no price in {mode} mode")
    prompt = price.cost(Usage.of(first.usage.prompt_tokens, 0, cache_hit=first.usage.cache_hit_tokens)).total.pico
    each = price.rates(first.usage.prompt_tokens)[2]
    cost, low, high = (prompt + round(each * tokens) for tokens in (length.mean, length.low, length.high))
    return _Sum(cost, low, high, estimated=1)


def _plus(one: _Sum, other: _Sum) -> _Sum:
    return _Sum(
        one.cost + other.cost,
        # All estimates rest on the same record, so the ends of their intervals add up.
        one.low + other.low,
        one.high + other.high,
        one.measured + other.measured,
        one.estimated + other.estimated,
        one.unknown + other.unknown,
        one.why or other.why,
    )


def _told(name: str, total: _Sum, spent: Money) -> Counterfactual:
    if total.unknown:
        answers = total.unknown + total.measured + total.estimated
        reason = f"{total.unknown} of {answers} answers have no figure: {total.why}"
        return Counterfactual(name=name, cost=None, basis="unknown", reason=reason)
    currency: Currency = spent.currency
    cost = Money(total.cost, currency)
    basis: Basis = "estimated" if total.estimated else "exact"
    reason = f"measured for {total.measured} answers"
    if total.estimated:
        reason += f", for {total.estimated} from the length of recorded completions of that mode"
    return Counterfactual(
        name=name,
        cost=cost,
        low=Money(total.low, currency),
        high=Money(total.high, currency),
        saved=cost - spent,
        basis=basis,
        reason=reason,
    )
