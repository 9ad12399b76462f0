"""What a token costs on one's own machines, and whether V3.1 fits on them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import ROUND_CEILING, Decimal
from functools import cache
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from deepthrift_pricing._prices.price import Price
from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing._values.money import Currency

Origin: TypeAlias = Literal["brief", "published", "measured", "stated"]
"""Where a figure comes from: the project's brief, a named page, a measurement here, or the user."""

PositiveDecimal: TypeAlias = Annotated[Decimal, Field(gt=0)]
_FINEST = Decimal("0.000001")
_SECONDS_PER_HOUR = 3600
_MILLION = 1_000_000


class Weights(BaseModel):
    """One form of V3.1's weights and the memory it needs."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    id: str
    name: str
    memory_gb: PositiveInt
    """GB (10⁹ bytes) of GPU memory, or of RAM and GPU memory together for GGUF."""
    origin: Origin
    source: str


class Machine(BaseModel):
    """One machine, or a fixed group of them that serves as one."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    id: str
    name: str
    gpus: PositiveInt
    memory_gb: PositiveInt
    """GPU memory of the whole machine, in GB."""
    completion_tokens_per_second: PositiveDecimal | None = None
    """Generated tokens per second over all requests together; `None` where no figure is published."""
    prompt_tokens_per_second: PositiveDecimal | None = None
    """Processed prompt tokens per second when it does nothing else; `None` where unknown."""
    origin: Origin
    source: str

    def holds(self, weights: Weights) -> bool:
        """Whether the weights fit into the memory; room for the cache of long contexts comes on top."""
        return weights.memory_gb <= self.memory_gb

    def needed(self, weights: Weights) -> int:
        """How many such machines are needed for the weights to fit at all."""
        return -(-weights.memory_gb // self.memory_gb)

    def price(
        self,
        gpu_hour: Decimal | str,
        *,
        utilisation: Decimal | str,
        currency: Currency = "USD",
        host: str = "*",
        models: tuple[str, ...] = ("*",),
        checked: date | None = None,
    ) -> Price:
        """The price per million tokens that pays for the machine.

        An hour of the machine is spread over the tokens that it handles while busy, and divided by `utilisation`, since
        idle hours are paid too. With `prompt_tokens_per_second`, prompt and completion tokens each carry the time they
        take and a cache hit takes none; without it, the generated tokens carry all of the cost. Rounded up to six
        decimals, the finest price that is exact per token.

        Args:
            gpu_hour: What one GPU costs for an hour, in `currency`: rent, or purchase spread over its life and power.
            utilisation: The share of the time in which the machine is busy, above 0 and up to 1.

        Raises:
            ConfigurationError: A figure is missing or outside its range.
        """
        if self.completion_tokens_per_second is None:
            raise ConfigurationError(
                f"{self.name}: no throughput is published; measure completion tokens per second and state it"
            )
        return hardware_price(
            f"hardware-{self.id}",
            self.gpus,
            gpu_hour,
            utilisation,
            completion_rate=self.completion_tokens_per_second,
            prompt_rate=self.prompt_tokens_per_second,
            currency=currency,
            host=host,
            models=models,
            source=f"{self.source} ({self.origin})",
            checked=checked or datetime.now(UTC).date(),
            what=self.name,
        )


def hardware_price(
    id_: str,
    gpus: int,
    gpu_hour: Decimal | str,
    utilisation: Decimal | str,
    *,
    completion_rate: Decimal,
    prompt_rate: Decimal | None,
    currency: Currency,
    host: str,
    models: tuple[str, ...],
    source: str,
    checked: date,
    what: str,
) -> Price:
    """The arithmetic of `Machine.price`; rates are tokens per second.

    Raises:
        ConfigurationError: A figure is outside its range.
    """
    hourly, busy = _decimal("gpu_hour", gpu_hour), _decimal("utilisation", utilisation)
    if not 0 < busy <= 1:
        raise ConfigurationError(f"utilisation is a share above 0 and up to 1, not {busy}")

    def per_million(tokens_per_second: Decimal) -> Decimal:
        exact = hourly * gpus * _MILLION / (tokens_per_second * _SECONDS_PER_HOUR * busy)
        return exact.quantize(_FINEST, rounding=ROUND_CEILING)

    carried = "prompt and completion tokens by the time they take" if prompt_rate else "completion tokens alone"
    return Price(
        id=id_,
        host=host,
        models=models,
        currency=currency,
        cache_hit=Decimal(0),
        cache_miss=per_million(prompt_rate) if prompt_rate else Decimal(0),
        completion=per_million(completion_rate),
        source=f"{source}; {hourly} {currency} per GPU-hour, {busy} busy",
        checked=checked,
        note=f"own hardware: {what}; the cost is carried by {carried}",
    )


@cache
def _data() -> tuple[tuple[Machine, ...], tuple[Weights, ...]]:
    import tomllib  # with the resources some milliseconds, which few programs need
    from importlib.resources import files

    raw = tomllib.loads(files("deepthrift_pricing").joinpath("data/hardware.toml").read_text("utf-8"))
    machines = tuple(Machine.model_validate(row) for row in raw["machine"])
    return machines, tuple(Weights.model_validate(row) for row in raw["weights"])


def known_machines() -> tuple[Machine, ...]:
    """The machines of the brief's table and of published guides, each with its source."""
    return _data()[0]


def known_weights() -> tuple[Weights, ...]:
    """V3.1's weights in the forms that the brief and published guides name, each with its source."""
    return _data()[1]


def _decimal(name: str, value: Decimal | str) -> Decimal:
    try:
        number = Decimal(value)
    except (ArithmeticError, ValueError, TypeError):
        raise ConfigurationError(f"{name} is a number such as '2.50', not {value!r}") from None
    if not number.is_finite() or number <= 0:
        raise ConfigurationError(f"{name} must be above zero, not {value!r}")
    return number
