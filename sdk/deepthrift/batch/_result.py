"""What became of a row, and how that is written in the OpenAI batch format."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from pydantic import BaseModel

from deepthrift._types import errors
from deepthrift._types.errors import (
    APIError,
    ContextLengthExceeded,
    DeepthriftError,
    InvalidRequestError,
    ResponseError,
    StatusError,
    WorkerLost,
)
from deepthrift._types.reply import Reply, TokenLogprob
from deepthrift.batch._row import BatchRow
from deepthrift_pricing import Money, new_id

Outcome: TypeAlias = Literal["answered", "failed", "unanswered", "unsent"]
"""`failed`: no answer, and known to cost nothing. `unanswered`: no usable answer, and it may be billed. `unsent`: the
batch stopped before it."""

UNANSWERED: Final = "the batch was interrupted before the answer was written down; it may be billed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """What became of a row: a reply, or an error that says why there is none.

    Attributes:
        row: The row.
        reply: Its answer, if there is one.
        error: Why there is none.
        sent: `False` when the batch stopped before it; `error` says why it stopped.
    """

    row: BatchRow
    reply: Reply | None = None
    error: DeepthriftError | None = None
    sent: bool = True

    @property
    def outcome(self) -> Outcome:
        """What it came to; see `Outcome`."""
        if self.reply is not None:
            return "answered"
        if self.error is None or not self.sent:
            return "unsent"
        return "unanswered" if costs(self.error) else "failed"

    @property
    def cost(self) -> Money | None:
        """What it cost, failed attempts included; `None` when nothing was tried."""
        if self.reply is not None:
            return self.reply.cost.total
        return None if self.error is None or not self.sent else self.error.spend


def costs(error: DeepthriftError) -> bool:
    """Whether what failed is billed, or may be."""
    return isinstance(error, WorkerLost) or bool(error.spend)


def output_line(result: BatchResult) -> dict[str, object]:
    """The line of the out file: the fields of the OpenAI batch format, and ours below `deepthrift`."""
    response, error = None, None
    if result.reply is not None:
        request_id = result.reply.response_id or result.reply.call_id
        response = {"status_code": 200, "request_id": request_id, "body": completion(result.reply)}
    elif result.error is not None:
        response, error = _failure(result.error)
    return {
        "id": new_id("batch_req"),
        "custom_id": result.row.custom_id,
        "response": response,
        "error": error,
        "deepthrift": _extras(result),
    }


def lost_line(custom_id: str, line: int) -> dict[str, object]:
    """The line for a row that was started in an earlier run, and of which no answer was written down."""
    return {
        "id": new_id("batch_req"),
        "custom_id": custom_id,
        "response": None,
        "error": {"code": "unanswered", "message": UNANSWERED},
        "deepthrift": {"line": line, "outcome": "unanswered", "cost": None},
    }


def completion(reply: Reply) -> dict[str, object]:
    """The reply as a `chat.completion` object."""
    message: dict[str, object] = dict(reply.message)
    message.setdefault("content", "")
    usage = reply.usage
    logprobs = None if reply.logprobs is None else {"content": [_token(each) for each in reply.logprobs]}
    return {
        "id": reply.response_id or reply.call_id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": reply.model,
        "choices": [
            {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": reply.finish_reason},
        ],
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cache_hit_tokens},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        },
    }


def _token(token: TokenLogprob) -> dict[str, object]:
    top = [{"token": text, "logprob": logprob, "bytes": None} for text, logprob in token.top]
    return {"token": token.token, "logprob": token.logprob, "bytes": None, "top_logprobs": top}


def _failure(error: DeepthriftError) -> tuple[dict[str, object] | None, dict[str, object] | None]:
    """`response` and `error`: what an HTTP status says belongs to the first, anything else to the second."""
    if not isinstance(error, StatusError):
        return None, {"code": code_of(error), "message": error.message}
    details = {"message": error.message, "type": public_name(error), "param": None, "code": code_of(error)}
    return {"status_code": error.status, "request_id": error.trace_id or "", "body": {"error": details}}, None


_CODES: Final[Mapping[type[DeepthriftError], str]] = {
    ContextLengthExceeded: "context_length_exceeded",
    InvalidRequestError: "invalid_request_error",
}


def public_name(error: DeepthriftError) -> str:
    """The name of the error's class, or of the nearest one that users can catch."""
    return next(each.__name__ for each in type(error).__mro__ if each.__name__ in errors.__all__)


def code_of(error: DeepthriftError) -> str:
    """The error's name as OpenAI writes codes: `RateLimited` is `rate_limited`."""
    known = _CODES.get(type(error))
    if known is not None:
        return known
    name = public_name(error)
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def _extras(result: BatchResult) -> dict[str, object]:
    cost = result.cost
    extras: dict[str, object] = {
        "line": result.row.line,
        "outcome": result.outcome,
        "cost": None if cost is None else f"{cost.amount:f}",
        "currency": None if cost is None else cost.currency,
    }
    reply, error = result.reply, result.error
    if reply is not None:
        extras |= {
            "certainty": reply.cost.certainty,
            "mode": reply.mode,
            "requested_mode": reply.requested_mode,
            "attempts": len(reply.attempts),
            "attempt_ids": [attempt.id for attempt in reply.attempts],
            "seconds": round(reply.seconds, 6),
            "warnings": list(reply.warnings),
        }
        # What a router's reply has beside: told by its fields, for this package does not know the router.
        for name in ("decision", "savings", "path", "confidence"):
            value: object = getattr(reply, name, None)
            if value is not None:
                extras[name] = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    elif error is not None:
        extras |= {
            "error_type": public_name(error),
            "attempts": len(error.attempt_ids),
            "attempt_ids": list(error.attempt_ids),
        }
        partial = error.partial if isinstance(error, APIError | ResponseError) else None
        if partial is not None:
            extras["partial"] = completion(partial)
    return extras


def outcome_in(line: Mapping[str, object]) -> tuple[int, Outcome, Money | None] | None:
    """Line, outcome and cost of a line of an out file; `None` when it is not one of ours."""
    extras = line.get("deepthrift")
    if not isinstance(extras, Mapping):
        return None
    told = cast("Mapping[str, object]", extras)
    number, outcome, cost, currency = (told.get(name) for name in ("line", "outcome", "cost", "currency"))
    if not isinstance(number, int) or outcome not in ("answered", "failed", "unanswered"):
        return None
    spent = Money.of(cost, currency) if isinstance(cost, str) and currency in ("USD", "CNY") else None
    return number, outcome, spent
