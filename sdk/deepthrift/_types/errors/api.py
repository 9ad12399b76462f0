"""The endpoint could not be used, or it answered with an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from deepthrift_pricing.errors import CallDetails, DeepthriftError

if TYPE_CHECKING:
    from deepthrift._types.reply import Reply


class APIError(DeepthriftError):
    """The endpoint could not be used, or answered with an error.

    Attributes:
        partial: What had arrived of a stream, with its usage and cost, or `None` if nothing had.
    """

    partial: Reply | None = None


class ConnectionFailed(APIError):
    """No connection could be made, or it was lost before an answer arrived."""


class AttemptTimeout(APIError):
    """One attempt took longer than `timeout`. It may have been billed, so it is booked as unknown and not retried."""


class DeadlineExceeded(APIError):
    """The call, retries and waiting included, took longer than `deadline`."""


class CircuitOpen(APIError):
    """The endpoint failed too often and is left alone for a while. Nothing was sent.

    Attributes:
        retry_after: Seconds until a call is tried again.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, **details: Unpack[CallDetails]) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class StatusError(APIError):
    """The endpoint answered with an error status, with a redirect, or with an error inside a success.

    Attributes:
        status: The HTTP status, or the status that an error inside a success names; where it names none, that of its
            meaning, and 500 where its words don't tell.
        body: The endpoint's own message, and that of a host behind a gateway: on one line, shortened to 2,000
            characters, without secrets.
        retry_after: Seconds that the endpoint asked to wait, or `None`.
        trace_id: The endpoint's own id of the request, or `None`; quote it to its support.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        body: str = "",
        retry_after: float | None = None,
        trace_id: str | None = None,
        **details: Unpack[CallDetails],
    ) -> None:
        super().__init__(message, **details)
        self.status = status
        self.body = body
        self.retry_after = retry_after
        self.trace_id = trace_id


class BadRequest(StatusError):
    """400: the endpoint did not accept the request. Not retried."""


class AuthenticationFailed(StatusError):
    """401: the key is missing or wrong. Not retried."""


class InsufficientBalance(StatusError):
    """The provider's balance is used up: 402, or another status with a code or words that say so.

    Never retried; top up, then call again. `status` is the endpoint's own.

    Attributes:
        balance: What is left, in the provider's own figures, where the host tells it; else `None`.
    """

    balance: str | None = None


class BalanceExhausted(CircuitOpen, InsufficientBalance):
    """The endpoint said a moment ago that the balance is used up, and is left alone for a while. Nothing was sent."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        body: str = "",
        retry_after: float | None = None,
        trace_id: str | None = None,
        balance: str | None = None,
    ) -> None:
        InsufficientBalance.__init__(
            self, message, status=status, body=body, retry_after=retry_after, trace_id=trace_id
        )
        self.balance = balance


class PermissionRefused(StatusError):
    """403: the key may not do this. Not retried."""


class NotFound(StatusError):
    """404: no such model or path. Not retried."""


class UnprocessableRequest(StatusError):
    """422: the parameters are invalid. Not retried."""


class RateLimited(StatusError):
    """429: too many requests. Retried after `Retry-After`, within the deadline."""


class ServerError(StatusError):
    """5xx: the endpoint failed. Retried within the deadline; unless it is a 503, it may be billed and stays booked."""


class Overloaded(ServerError):
    """503: the endpoint is overloaded. Nothing is billed. Retried with longer pauses."""
