"""A `[[hardware]]` table of a price file: what a token costs on machines of one's own."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from deepthrift_pricing._prices.hardware import PositiveDecimal, hardware_price, known_machines
from deepthrift_pricing._prices.price import Price
from deepthrift_pricing._values.money import Currency


class HardwareRow(BaseModel):
    """A machine by its id in the packaged table, or by its figures, and what it costs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    machine: str | None = None
    gpus: PositiveInt | None = None
    completion_tokens_per_second: PositiveDecimal | None = None
    prompt_tokens_per_second: PositiveDecimal | None = None
    gpu_hour: PositiveDecimal
    """What one GPU costs for an hour."""
    utilisation: Decimal = Field(gt=0, le=1)
    """The share of the time in which the machine is busy."""
    currency: Currency = "USD"
    host: str = "*"
    models: tuple[str, ...] = ("*",)
    source: str = ""
    checked: date

    @model_validator(mode="after")
    def _known_rate(self) -> Self:
        if self.machine is not None:
            machines = {each.id: each for each in known_machines()}
            found = machines.get(self.machine)
            if found is None:
                raise ValueError(f"machine: {self.machine!r} is none of {', '.join(machines)}")
            if found.completion_tokens_per_second is None and self.completion_tokens_per_second is None:
                raise ValueError(f"{found.id}: no throughput is published; state completion_tokens_per_second")
        elif self.gpus is None or self.completion_tokens_per_second is None:
            raise ValueError("give gpus and completion_tokens_per_second, or the id of a known machine")
        return self

    def price(self) -> Price:
        """The price that pays for it; figures stated here go before those of the known machine."""
        known = next((each for each in known_machines() if each.id == self.machine), None)
        gpus = self.gpus or (known.gpus if known else 1)
        completion = self.completion_tokens_per_second or (known.completion_tokens_per_second if known else None)
        prompt = self.prompt_tokens_per_second or (known.prompt_tokens_per_second if known else None)
        assert completion is not None  # noqa: S101  # validated
        return hardware_price(
            self.id,
            gpus,
            self.gpu_hour,
            self.utilisation,
            completion_rate=completion,
            prompt_rate=prompt,
            currency=self.currency,
            host=self.host,
            models=self.models,
            source=self.source or (f"{known.source} ({known.origin})" if known else "stated in a price file"),
            checked=self.checked,
            what=known.name if known else f"{gpus} GPU{'s' if gpus > 1 else ''}",
        )
