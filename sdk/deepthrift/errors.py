"""The SDK's part of the error tree; the root and the money errors come from `deepthrift_pricing.errors`.

```
DeepthriftError
├── ConfigurationError · InvalidRequestError · ContextLengthExceeded · PricingError … · BudgetExceeded · LedgerError …
├── ClientClosed                  the client was closed (also ConfigurationError)
├── IsolationUnavailable          code of a model cannot be isolated here and was not run (also ConfigurationError)
├── NoEndpointAllowed             no endpoint is in a region that the call allows; nothing was sent
├── UnsupportedFeature            the mode or host cannot do what was asked; nothing was sent (also InvalidRequestError)
├── APIError                      the endpoint could not be used or answered with an error
│   ├── ConnectionFailed          no connection, or it was lost
│   ├── AttemptTimeout            one attempt took longer than `timeout`
│   ├── DeadlineExceeded          the whole call took longer than `deadline`
│   ├── CircuitOpen               the endpoint failed too often and is left alone for a while; nothing was sent
│   │   └── BalanceExhausted      the same with an empty account (also InsufficientBalance)
│   └── StatusError               the endpoint answered with an error status, or an error inside a success
│       ├── BadRequest 400 · AuthenticationFailed 401 · InsufficientBalance 402 · PermissionRefused 403
│       ├── NotFound 404 · UnprocessableRequest 422 · RateLimited 429 · ServerError 5xx · Overloaded 503
├── ResponseError                 an answer arrived that cannot be used
│   ├── EmptyResponse             a success whose body is blank
│   ├── MalformedResponse         not the JSON that the protocol promises
│   ├── ResponseTooLarge          more than `max_response_bytes`; carries what had arrived of a stream
│   ├── StreamInterrupted         the stream broke; carries the partial reply and its cost
│   ├── ModeNotHonoured           another mode ran than the one asked for (raised only with `on_mode_mismatch="raise"`)
│   ├── ToolCallsMissing          tool calls were announced, and none came
│   └── StructuredOutputError     the answer is not the JSON that was asked for
├── CalibrationError              the router cannot promise or learn what was asked (deepthrift_router)
│   ├── NotEnoughLabels           too few labelled answers; says how many more
│   └── NoLift                    the new setting is no better than the one in force
├── ToolError                     a loop of tool calls could not go on
│   ├── ToolFailed                a tool raised (only with `on_error="raise"`)
│   ├── ToolCallCut               `max_tokens` ended an answer inside a tool call
│   └── ToolLoopExceeded          its limit on rounds or on spend was reached
├── BatchError                    the files of a batch cannot be used
│   └── ClusterUnavailable        the cluster for it cannot be reached, or has no worker left
├── WorkerLost                    a machine of a batch died with the row it was answering; it may be billed
├── UnmatchedRequest              a scripted or recorded endpoint has no answer for it (also AssertionError)
└── EngineError                   the embedded engine
    ├── MissingExtra              deepthrift[local] is not installed
    ├── UnsupportedMachine        the processor or a system library is missing something
    ├── ModelFileError            the model file is missing, damaged or not GGUF
    ├── DownloadError             a model could not be fetched, or its hash is wrong
    ├── EngineStartFailed         the engine did not come up; carries the end of its log
    │   └── NotEnoughMemory       the model does not fit into the memory that is free
    └── EngineCrashed             the engine died while in use; the next call starts it again
        └── EngineKeepsCrashing   it died too often and is not started again
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from deepthrift_pricing.errors import (
    BudgetExceeded,
    CallDetails,
    ConfigurationError,
    ContextLengthExceeded,
    CurrencyMismatch,
    DeepthriftError,
    InvalidRequestError,
    LedgerClosed,
    LedgerError,
    LedgerUnavailable,
    PriceDataError,
    PriceNotFound,
    PricingError,
    RequestInfo,
    UnknownReservation,
)

if TYPE_CHECKING:
    from deepthrift._reply import Reply
    from deepthrift.tools import ToolReply

__all__ = [
    "APIError",
    "AttemptTimeout",
    "AuthenticationFailed",
    "BadRequest",
    "BalanceExhausted",
    "BatchError",
    "BudgetExceeded",
    "CalibrationError",
    "CallDetails",
    "CircuitOpen",
    "ClientClosed",
    "ClusterUnavailable",
    "ConfigurationError",
    "ConnectionFailed",
    "ContextLengthExceeded",
    "CurrencyMismatch",
    "DeadlineExceeded",
    "DeepthriftError",
    "DownloadError",
    "EmptyResponse",
    "EngineCrashed",
    "EngineError",
    "EngineKeepsCrashing",
    "EngineStartFailed",
    "InsufficientBalance",
    "InvalidRequestError",
    "IsolationUnavailable",
    "LedgerClosed",
    "LedgerError",
    "LedgerUnavailable",
    "MalformedResponse",
    "MissingExtra",
    "ModeNotHonoured",
    "ModelFileError",
    "NoEndpointAllowed",
    "NoLift",
    "NotEnoughLabels",
    "NotEnoughMemory",
    "NotFound",
    "Overloaded",
    "PermissionRefused",
    "PriceDataError",
    "PriceNotFound",
    "PricingError",
    "RateLimited",
    "RequestInfo",
    "ResponseError",
    "ResponseTooLarge",
    "ServerError",
    "StatusError",
    "StreamInterrupted",
    "StructuredOutputError",
    "ToolCallCut",
    "ToolCallsMissing",
    "ToolError",
    "ToolFailed",
    "ToolLoopExceeded",
    "UnknownReservation",
    "UnmatchedRequest",
    "UnprocessableRequest",
    "UnsupportedFeature",
    "UnsupportedMachine",
    "WorkerLost",
]


class ClientClosed(ConfigurationError):
    """The client was closed: the call was not sent, or was ended after `grace` and is booked as far as it came."""


class IsolationUnavailable(ConfigurationError):
    """Code of a model cannot be isolated on this system, so it was not run; the message says what to change."""


class NoEndpointAllowed(ConfigurationError):
    """No endpoint of the client is in a region that the call allows. Nothing was sent."""


class UnsupportedFeature(InvalidRequestError):
    """The host or the mode cannot do what was asked. Nothing was sent."""


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


class ResponseError(DeepthriftError):
    """An answer arrived that cannot be used.

    Attributes:
        partial: What had arrived, with its usage and cost, or `None` if nothing usable had.
    """

    def __init__(self, message: str, *, partial: Reply | None = None, **details: Unpack[CallDetails]) -> None:
        super().__init__(message, **details)
        self.partial = partial


class EmptyResponse(ResponseError):
    """The endpoint reported success and sent a blank body. It may have been billed, so it is booked as unknown."""


class MalformedResponse(ResponseError):
    """The body is not the JSON that the protocol promises. The message quotes a page or a plain text."""


class StreamInterrupted(ResponseError):
    """The stream broke before its end. `partial` holds what arrived, and its cost is booked."""


class ResponseTooLarge(ResponseError):
    """The endpoint sent more than `max_response_bytes`. Not read further, and not retried; it may have been billed."""


class ModeNotHonoured(ResponseError):
    """Another mode ran than the one asked for. Raised only if asked to; by default it is a warning on the reply."""


class ToolCallsMissing(ResponseError):
    """The endpoint said that it called tools and sent no call that could be read: its tool parser does not fit V3.1."""


class StructuredOutputError(ResponseError):
    """The answer is empty, cut off or not of the type asked for, after all repairs. `partial` holds the last answer."""


class CalibrationError(DeepthriftError):
    """The router cannot promise or learn what was asked: what it knows of your traffic does not bear it out."""


class NotEnoughLabels(CalibrationError):
    """There are too few labelled answers for a promise or a fit.

    Attributes:
        labels: How many there are.
        needed: About how many it takes in all, or `None` where more would not help.
    """

    def __init__(self, message: str, *, labels: int = 0, needed: int | None = None) -> None:
        super().__init__(message)
        self.labels = labels
        self.needed = needed


class NoLift(CalibrationError):
    """What was fitted is no better than the setting in force, on labels that it has not seen. Nothing was written."""


class ToolError(DeepthriftError):
    """A loop of tool calls could not go on.

    Attributes:
        partial: The exchange so far, with the usage and cost of every round, or `None` if nothing had been sent.
    """

    def __init__(self, message: str, *, partial: ToolReply | None = None, **details: Unpack[CallDetails]) -> None:
        super().__init__(message, **details)
        self.partial = partial


class ToolFailed(ToolError):
    """A tool raised an exception, which is the cause of this one. Raised only if asked to."""


class ToolCallCut(ToolError):
    """An answer reached `max_tokens` inside a tool call. No tool of its round ran, and no further round was sent.

    `partial.tool_calls` holds what arrived, and `partial.messages` the conversation before that answer: go on from
    there with a larger `max_tokens`.
    """


class ToolLoopExceeded(ToolError):
    """The limit on rounds or on spend was reached before the model had its answer. The next round was not sent."""


class UnmatchedRequest(DeepthriftError, AssertionError):
    """An endpoint of `deepthrift.testing` has no answer for a request, or was not asked for every one it has."""


class BatchError(DeepthriftError):
    """A file of a batch is missing, damaged, in use by another process, or belongs to another batch."""


class ClusterUnavailable(BatchError):
    """The cluster that a batch is to run on cannot be reached, or has no worker left. No further row was sent."""


class WorkerLost(DeepthriftError):
    """A machine of a batch died with the row it was answering. It may be billed, so it is not sent again unasked."""


class EngineError(DeepthriftError):
    """The embedded engine could not be used."""


class MissingExtra(EngineError, ImportError):
    """An optional part of Deepthrift is not installed; the message has the command that installs it."""


class UnsupportedMachine(EngineError):
    """The processor or a system library lacks something that the engine needs; the message says what mends it."""


class ModelFileError(EngineError):
    """The model file is missing, cut short, damaged or not GGUF."""


class DownloadError(EngineError):
    """A model could not be fetched, or what arrived does not have the pinned hash."""


class EngineStartFailed(EngineError):
    """The engine did not come up; the message ends with the last lines of its log."""


class NotEnoughMemory(EngineStartFailed):
    """The model does not fit into the memory that is free; the message has both figures."""


class EngineCrashed(EngineError):
    """The engine died while in use. What it was answering is lost; the next call starts it again.

    Attributes:
        exit_code: Its exit code, a negative number for the signal that ended it, or `None` if nobody saw it.
        out_of_memory: Whether it ended because memory ran out, or `None` where that cannot be told.
        log: The last lines of its log. They hold no prompts and no key.
    """

    def __init__(
        self,
        message: str,
        *,
        exit_code: int | None = None,
        out_of_memory: bool | None = None,
        log: str = "",
        **details: Unpack[CallDetails],
    ) -> None:
        super().__init__(message, **details)
        self.exit_code = exit_code
        self.out_of_memory = out_of_memory
        self.log = log


class EngineKeepsCrashing(EngineCrashed):
    """The engine died more than 3 times within 5 minutes, and is not started again."""
