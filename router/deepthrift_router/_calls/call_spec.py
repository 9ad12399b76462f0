"""One call that the router wants to make; the client turns it into a request."""

from __future__ import annotations

from dataclasses import dataclass

from deepthrift import ChatOptions, Messages
from deepthrift_pricing import Mode, Purpose


@dataclass(frozen=True, slots=True)
class CallSpec:
    """One call to be made."""

    mode: Mode
    purpose: Purpose
    messages: Messages
    max_tokens: int | None
    options: ChatOptions
