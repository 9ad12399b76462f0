"""Exact money, and the roots of the error tree, which carry it: errors say what a call has cost so far.

Inside, money is integers of 10⁻¹² of a currency unit; at the surface it is `Decimal`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeAlias, TypedDict

from pydantic_core import CoreSchema, core_schema

Currency: TypeAlias = Literal["USD", "CNY"]
"""The currencies in which V3.1 is sold. Amounts of different ones do not mix."""


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What a failed call asked for, without its content and without secrets."""

    host: str
    url: str
    model: str
    mode: str
    messages: int
    prompt_tokens: int | None = None
    max_tokens: int | None = None
    call_id: str = ""


class CallDetails(TypedDict, total=False):
    """What every error takes by keyword about the call that was under way; see `DeepthriftError`."""

    request: RequestInfo | None
    attempt_ids: tuple[str, ...]
    spend: Money | None


class DeepthriftError(Exception):
    """Base of every error that Deepthrift raises on purpose.

    Attributes:
        message: What happened and what to do next, in one or two sentences.
        request: What was asked for, if a call was under way.
        attempt_ids: The attempts made so far, in order; each is a row of the ledger.
        spend: What those attempts cost, as far as is known, or `None` when nothing was sent.
    """

    def __init__(
        self,
        message: str,
        *,
        request: RequestInfo | None = None,
        attempt_ids: tuple[str, ...] = (),
        spend: Money | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.request = request
        self.attempt_ids = attempt_ids
        self.spend = spend

    def __str__(self) -> str:
        return self.message


class ConfigurationError(DeepthriftError, ValueError):
    """A setting is wrong or missing. Nothing was sent."""


class InvalidRequestError(DeepthriftError, ValueError):
    """The request cannot be sent as it is. Nothing was sent, nothing was spent."""


class PricingError(DeepthriftError):
    """A cost could not be worked out."""


class CurrencyMismatch(PricingError):
    """Amounts in two currencies were combined, and no dated rate was given."""


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount in one currency.

    `pico` is the amount in 10⁻¹² of the currency's unit, so one token at a price of six decimals per million is a whole
    number, and sums never round.

    >>> Money.of("0.00120736")
    Money('0.00120736', 'USD')
    >>> Money.of("0.1") + Money.of("0.2") == Money.of("0.3")
    True
    """

    pico: int
    currency: Currency = "USD"

    @classmethod
    def of(cls, amount: Decimal | str | int, currency: Currency = "USD") -> Money:
        """An amount given in whole units of `currency`, as text, `Decimal` or `int`.

        Raises:
            ConfigurationError: `amount` is a binary float, is not a number, or has more than twelve decimals.
        """
        if isinstance(amount, float):
            raise ConfigurationError(f"money is exact: write the amount as text, '{amount}', not as a float")
        if currency not in ("USD", "CNY"):
            raise ConfigurationError(f"{currency!r} is no currency that is kept here; use USD or CNY")
        try:
            scaled = Decimal(amount).scaleb(12)
            pico = int(scaled)
        except (InvalidOperation, ValueError, OverflowError, TypeError):
            raise ConfigurationError(f"{amount!r} is not an amount of money; write a number such as '0.50'") from None
        if pico != scaled:
            raise ConfigurationError(f"{amount!r} has more than twelve decimals, the finest amount that is kept")
        return cls(pico, currency)

    @classmethod
    def zero(cls, currency: Currency = "USD") -> Money:
        """Nothing, in `currency`."""
        return cls(0, currency)

    @classmethod
    def sum(cls, amounts: Iterable[Money], currency: Currency = "USD") -> Money:
        """The sum of `amounts`, or zero in `currency` when there are none."""
        total: Money | None = None
        for amount in amounts:
            total = amount if total is None else total + amount
        return cls(0, currency) if total is None else total

    @property
    def amount(self) -> Decimal:
        """The exact amount in whole units of the currency, without trailing zeros."""
        value = Decimal(self.pico).scaleb(-12).normalize()
        return value.quantize(Decimal(1)) if value == value.to_integral_value() else value

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(
                f"cannot combine {self.currency} with {other.currency} without a rate; keep one ledger per currency"
            )

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.pico + other.pico, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.pico - other.pico, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.pico, self.currency)

    def __mul__(self, times: int) -> Money:
        return Money(self.pico * times, self.currency)

    __rmul__ = __mul__

    def __lt__(self, other: Money) -> bool:
        self._same(other)
        return self.pico < other.pico

    def __le__(self, other: Money) -> bool:
        self._same(other)
        return self.pico <= other.pico

    def __gt__(self, other: Money) -> bool:
        self._same(other)
        return self.pico > other.pico

    def __ge__(self, other: Money) -> bool:
        self._same(other)
        return self.pico >= other.pico

    def __bool__(self) -> bool:
        return self.pico != 0

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"

    def __repr__(self) -> str:
        return f"Money({f'{self.amount:f}'!r}, {self.currency!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> CoreSchema:
        """In JSON an amount is `{"amount": "0.00120736", "currency": "USD"}`."""
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(cls._serialize),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: object) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"amount": {"type": "string"}, "currency": {"enum": ["USD", "CNY"]}},
            "required": ["amount", "currency"],
        }

    @classmethod
    def _validate(cls, value: object) -> Money:
        if isinstance(value, Money):
            return value
        match value:
            case {"amount": str() | Decimal() | int() as amount, "currency": "USD"}:
                return cls.of(amount)
            case {"amount": str() | Decimal() | int() as amount, "currency": "CNY"}:
                return cls.of(amount, "CNY")
            case _:
                raise ValueError('expected {"amount": "…", "currency": "USD" or "CNY"}')

    @staticmethod
    def _serialize(value: Money) -> dict[str, str]:
        return {"amount": f"{value.amount:f}", "currency": value.currency}
