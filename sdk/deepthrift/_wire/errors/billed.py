"""Which failures are known to cost nothing, and which may have been billed."""

from __future__ import annotations

from typing import Final

from deepthrift._types.errors import ContextLengthExceeded, InsufficientBalance
from deepthrift.hosts import HostProfile

FREE_STATUSES: Final = frozenset(
    {
        *(301, 302, 307, 308),  # redirects: the request was not handled here
        *(400, 401, 402, 403, 404, 405, 413, 415, 422),  # refused before the model saw it
        429,  # too many requests
        501,  # not implemented
        503,  # overloaded
        529,  # overloaded, as Anthropic and gateways in front of it write it
        *(521, 523, 525, 526),  # Cloudflare could not reach the endpoint, or agree on TLS with it
    }
)
"""Statuses with which a request is refused before anything is generated. With any other error status the model may have
worked, and the host may bill it:

- 500: the server failed at some point of the request, before the model, in it or after it.
- 502, 504: a gateway got no valid answer, or none in time. The model behind it works on.
- 520, 522, 524: the same at Cloudflare, where the connection to the endpoint stood or may have stood.
- 408, 409, 425, 499 and all others: their meaning differs between hosts.

A profile's `free_statuses` and `billed_statuses` say otherwise for its host."""

_REFUSALS: Final = (ContextLengthExceeded, InsufficientBalance)
"""Whatever the status, these say that nothing was generated."""


def is_free(profile: HostProfile, status: int, error: BaseException | None = None) -> bool:
    """Whether a failure with this status, read as `error`, is known to cost nothing at the host."""
    if status in profile.billed_statuses:
        return False
    return status in FREE_STATUSES or status in profile.free_statuses or isinstance(error, _REFUSALS)
