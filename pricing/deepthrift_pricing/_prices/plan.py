"""Hosted or self-run: what a month of a given load costs either way."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from deepthrift_pricing._prices.hardware import Machine, Weights
from deepthrift_pricing._prices.price import Price
from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing._values.money import Currency, Money
from deepthrift_pricing._values.usage import Usage

HOURS_PER_MONTH = 730
"""Hours in a twelfth of a year."""
_CENT = Decimal("0.01")


class Load(BaseModel):
    """Traffic in a month."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    requests: NonNegativeInt
    """Requests per month."""
    prompt_tokens: NonNegativeInt
    """Prompt tokens of one request."""
    completion_tokens: NonNegativeInt
    """Generated tokens of one request, reasoning included."""
    cache_hit_share: Decimal = Field(default=Decimal(0), ge=0, le=1)
    """The share of the prompt tokens that the host reads from its cache."""
    peak: Decimal = Field(default=Decimal(1), ge=1)
    """The busiest hour against the average one; self-run machines are sized for it."""

    @property
    def usage(self) -> Usage:
        """The tokens of one request, cache hits rounded down."""
        hits = int(self.prompt_tokens * self.cache_hit_share)
        return Usage.of(self.prompt_tokens, self.completion_tokens, cache_hit=hits, certainty="estimated")


class HostedOption(BaseModel):
    """A month at a host that bills by the token."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    price_id: str
    per_month: Money
    per_request: Money


class MachineOption(BaseModel):
    """A month on one's own machines."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    machine: Machine
    weights: Weights
    fits: bool
    """Whether one machine holds the weights."""
    machines: int | None
    """Machines needed for both memory and the busiest hour; `None` when no throughput is published."""
    utilisation: Decimal | None
    """The busy share of those machines over the month."""
    per_month: Money | None
    break_even: dict[str, int | None]
    """By hosted price id: requests a month from which these machines are the cheaper way; `None` is never."""
    notes: tuple[str, ...] = ()


class Plan(BaseModel):
    """Both ways side by side."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    load: Load
    hosted: tuple[HostedOption, ...]
    machines: tuple[MachineOption, ...]


def make_plan(
    load: Load,
    *,
    hosted: Sequence[Price],
    machines: Sequence[Machine],
    weights: Weights,
    gpu_hour: Decimal | str,
    currency: Currency = "USD",
) -> Plan:
    """Compare hosts that bill by the token with own machines for one load.

    Throughput and memory are the figures that each machine states; where its memory cannot hold the weights, more
    machines are counted and the notes say so, because the stated throughput was then not obtained with those weights.

    Raises:
        ConfigurationError: A price is in another currency, or `gpu_hour` is not above zero.
    """
    hour = Decimal(gpu_hour)
    if hour <= 0:
        raise ConfigurationError(f"gpu_hour must be above zero, not {gpu_hour!r}")
    options: list[HostedOption] = []
    for price in hosted:
        if price.currency != currency:
            raise ConfigurationError(f"{price.id} is in {price.currency}; compare prices in one currency")
        each = price.cost(load.usage).total
        options.append(HostedOption(price_id=price.id, per_request=each, per_month=each * load.requests))
    own = [_own(load, machine, weights, hour, currency, options) for machine in machines]
    return Plan(load=load, hosted=tuple(options), machines=tuple(own))


def _own(
    load: Load, machine: Machine, weights: Weights, hour: Decimal, currency: Currency, hosted: Sequence[HostedOption]
) -> MachineOption:
    notes: list[str] = []
    fits, by_memory = machine.holds(weights), machine.needed(weights)
    if not fits:
        notes.append(
            f"{machine.memory_gb} GB cannot hold {weights.name} ({weights.memory_gb} GB, {weights.origin}): "
            f"{by_memory} such machines are needed to load it at all"
        )
        if machine.completion_tokens_per_second is not None:
            notes.append(f"so {machine.completion_tokens_per_second} tokens/s cannot have been reached on one of them")
    if machine.completion_tokens_per_second is None:
        notes.append("no throughput is published for it; measure yours and state it")
        return MachineOption(
            machine=machine,
            weights=weights,
            fits=fits,
            machines=None,
            utilisation=None,
            per_month=None,
            break_even={},
            notes=tuple(notes),
        )
    if machine.prompt_tokens_per_second is None:
        notes.append("prompt processing is not counted: no figure is stated for it")
    seconds = _busy_seconds(load, machine)
    month = Decimal(HOURS_PER_MONTH * 3600)
    by_load = int((seconds * load.peak / month).to_integral_value(ROUND_CEILING))
    count = max(1, by_memory, by_load)
    monthly = _monthly(count, machine, hour, currency)
    capacity = _requests_that(count, load, machine, month)
    break_even: dict[str, int | None] = {}
    for option in hosted:
        needed = -(-monthly.pico // option.per_request.pico) if option.per_request else None
        break_even[option.price_id] = needed if needed is not None and needed <= capacity else None
    return MachineOption(
        machine=machine,
        weights=weights,
        fits=fits,
        machines=count,
        utilisation=(seconds / (month * count)).quantize(Decimal("0.0001"), ROUND_HALF_EVEN),
        per_month=monthly,
        break_even=break_even,
        notes=tuple(notes),
    )


def _busy_seconds(load: Load, machine: Machine) -> Decimal:
    """Seconds of one machine that a month of the load takes."""
    assert machine.completion_tokens_per_second is not None  # noqa: S101  # the caller has returned without it
    usage = load.usage
    each = usage.completion_tokens / machine.completion_tokens_per_second
    if machine.prompt_tokens_per_second is not None:
        each += usage.cache_miss_tokens / machine.prompt_tokens_per_second
    return each * load.requests


def _requests_that(count: int, load: Load, machine: Machine, month: Decimal) -> int:
    """How many requests a month `count` machines can serve with the load's peak."""
    seconds = _busy_seconds(load.model_copy(update={"requests": 1}), machine)
    return int(month * count / (seconds * load.peak)) if seconds else 10**18


def _monthly(count: int, machine: Machine, hour: Decimal, currency: Currency) -> Money:
    amount = (hour * machine.gpus * count * HOURS_PER_MONTH).quantize(_CENT, ROUND_CEILING)
    return Money.of(amount, currency)
