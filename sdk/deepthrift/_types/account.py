"""What an endpoint tells of its models and of the account."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, TypeAlias

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field

BalanceCurrency: TypeAlias = Literal["CNY", "USD"] | str
"""The currency of an account; hosts may add further ones."""


class ModelInfo(BaseModel):
    """A model that an endpoint lists; what the host does not tell is `None`. As text, it is its id."""

    model_config = ConfigDict(frozen=True, defer_build=True, populate_by_name=True)

    id: str
    """What the client's `model` has to be."""
    name: str | None = None
    """A name for people."""
    owned_by: str | None = None
    context_window: int | None = Field(
        default=None,
        validation_alias=AliasChoices(
            "context_window", "context_length", "max_model_len", AliasPath("meta", "n_ctx_train")
        ),
    )
    """Tokens of prompt and completion together."""
    max_output_tokens: int | None = Field(
        default=None,
        validation_alias=AliasChoices("max_output_tokens", AliasPath("top_provider", "max_completion_tokens")),
    )

    def __str__(self) -> str:
        return self.id


class BalanceAmount(BaseModel):
    """What an account holds in one currency, exactly."""

    model_config = ConfigDict(frozen=True, defer_build=True, populate_by_name=True)

    currency: BalanceCurrency
    total: Decimal = Field(validation_alias="total_balance")
    granted: Decimal = Field(default=Decimal(0), validation_alias="granted_balance")
    """The part that was a gift; it is spent first."""
    topped_up: Decimal = Field(default=Decimal(0), validation_alias="topped_up_balance")
    """The part that was paid for."""


class Balance(BaseModel):
    """What is left on the provider's account."""

    model_config = ConfigDict(frozen=True, defer_build=True, populate_by_name=True)

    is_available: bool
    """Whether it is enough for further calls."""
    amounts: tuple[BalanceAmount, ...] = Field(default=(), validation_alias="balance_infos")
