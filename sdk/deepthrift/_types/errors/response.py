"""An answer arrived that cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from deepthrift_pricing.errors import CallDetails, DeepthriftError

if TYPE_CHECKING:
    from deepthrift._types.reply import Reply


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
