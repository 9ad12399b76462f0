"""What an endpoint tells of itself: its models, and the balance of the account."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

import httpx
from pydantic import BaseModel

from deepthrift._call.endpoints.target import Target
from deepthrift._types.account import Balance, ModelInfo
from deepthrift._types.errors import (
    AttemptTimeout,
    BalanceExhausted,
    ConnectionFailed,
    DeepthriftError,
    InsufficientBalance,
    MalformedResponse,
    UnsupportedFeature,
)
from deepthrift._util.secrets import shown_url
from deepthrift._wire.errors.failures import status_error, without_secrets
from deepthrift._wire.events.large import read_model, sized

_PATIENCE: Final = 60.0
"""Seconds: such a question is answered at once or not at all."""
_MOMENT: Final = 3.0
"""Seconds that an error may wait for what it would only mention."""

T = TypeVar("T", bound=BaseModel)


class _Models(BaseModel):
    data: list[ModelInfo]


async def list_models(core: Target) -> tuple[ModelInfo, ...]:
    """The models at `GET /models`."""
    wrong = "the endpoint's list of models is not one; does the base URL end in '/v1'?"
    return tuple((await _ask(core, "/models", _Models, "list its models", wrong)).data)


async def read_balance(core: Target) -> Balance:
    """The balance, where the host tells it.

    Raises:
        UnsupportedFeature: It does not.
    """
    path = core.profile.balance_path
    if path is None:
        raise UnsupportedFeature(
            f"{core.profile.name!r} tells no balance; client.ledger.spend() has what was spent through Deepthrift"
        )
    wrong = "the endpoint's balance cannot be read; is it the right host profile?"
    return await _ask(core, path, Balance, "tell its balance", wrong, beside=True)


async def name_balance(core: Target, error: InsufficientBalance, left: float) -> None:
    """Tell in `error` what the account holds, where the host says so within a moment."""
    if core.profile.balance_path is None or isinstance(error, BalanceExhausted):
        return
    try:
        async with asyncio.timeout(max(0.0, min(left, _MOMENT))):
            balance = await read_balance(core)
    except (DeepthriftError, TimeoutError):
        return
    error.balance = ", ".join(f"{amount.total} {amount.currency}" for amount in balance.amounts) or None
    if error.balance is not None:
        error.message += f" (the account holds {error.balance})"


async def _ask(core: Target, path: str, kind: type[T], what: str, wrong: str, *, beside: bool = False) -> T:
    timeout = min(core.settings.timeout, _PATIENCE)
    try:
        async with asyncio.timeout(timeout):
            incoming = await core.sender.get(path, beside=beside)
            try:
                data = await (incoming.read_error() if incoming.status >= 300 else incoming.read_all())
            finally:
                core.sender.close_behind(incoming)
    except TimeoutError:
        raise AttemptTimeout(f"the endpoint did not {what} within {timeout:g} s") from None
    except (httpx.HTTPError, OSError) as error:
        said = without_secrets(str(error) or type(error).__name__, *core.secrets)
        raise ConnectionFailed(
            f"no connection to {shown_url(str(core.sender.url))}: {said}. Is the server running?"
        ) from error
    if incoming.status >= 300:
        raise status_error(incoming.status, data, incoming.headers, host=core.profile.name, secrets=core.secrets)
    try:
        return await sized(len(data), read_model, kind, data)
    except (ValueError, RecursionError):
        raise MalformedResponse(wrong) from None
