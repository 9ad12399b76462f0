"""Which of a call's endpoints is tried next, and which error tells most when none answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deepthrift._call.attempt.booking import Books
from deepthrift._call.endpoints.target import Target
from deepthrift._call.prepare.completion import passes_of
from deepthrift._call.prepare.passes import Step
from deepthrift._types.errors import (
    APIError,
    AttemptTimeout,
    AuthenticationFailed,
    BudgetExceeded,
    CircuitOpen,
    ConnectionFailed,
    ContextLengthExceeded,
    DeepthriftError,
    EmptyResponse,
    InsufficientBalance,
    InvalidRequestError,
    NotFound,
    PermissionRefused,
    PriceNotFound,
    RateLimited,
    ResponseError,
    ServerError,
    UnsupportedFeature,
)
from deepthrift._types.options import Options

_TRANSIENT: Final = (RateLimited, ServerError, ConnectionFailed, AttemptTimeout, EmptyResponse)
_NOT_HERE: Final = (
    AuthenticationFailed,
    BudgetExceeded,
    CircuitOpen,
    ContextLengthExceeded,
    InsufficientBalance,
    NotFound,
    PermissionRefused,
    PriceNotFound,
    UnsupportedFeature,
)
"""What an endpoint will say again, and another one may not."""


class Lane:
    """A call's way to one endpoint."""

    def __init__(self, core: Target, options: Options, *, stream: bool) -> None:
        self.core = core
        self.passes = passes_of(core, options, stream=stream)
        self._step: Step | None = None

    async def step(self) -> Step:
        """The request to send, counted and built once."""
        if self._step is None:
            self._step = await self.passes.next()
        return self._step

    def done(self) -> None:
        """The request was answered; another one follows."""
        self._step = None


class Lanes:
    """The ways of one call, in order of preference; endpoints that cannot take it drop out.

    Raises:
        InvalidRequestError: None can.
    """

    def __init__(self, cores: Sequence[Target], options: Options, *, stream: bool) -> None:
        self._options = options
        self._stream = stream
        self._cores = list(cores)
        self._lanes: dict[Target, Lane] = {}
        self._failure: InvalidRequestError | None = None
        self.current = self._first()

    def _first(self) -> Lane:
        for core in list(self._cores):
            if (lane := self.to(core)) is not None:
                return lane
        raise self._failure or InvalidRequestError("there is no endpoint")

    @property
    def several(self) -> bool:
        """Whether there is a choice."""
        return len(self._cores) > 1

    def order(self) -> list[Target]:
        """The endpoints to try: first those that did not ask to be left alone."""
        return sorted(self._cores, key=lambda core: core.admission.limiter.pause_left)

    def to(self, core: Target) -> Lane | None:
        """The way to an endpoint, made when it is needed; `None` if it cannot do what the call asks."""
        if core not in self._lanes:
            try:
                self._lanes[core] = Lane(core, self._options, stream=self._stream)
            except InvalidRequestError as error:
                self._failure = self._failure or error
                self._cores.remove(core)
                return None
        return self._lanes[core]

    def give_up(self, lane: Lane) -> None:
        """This endpoint would only say the same again."""
        if len(self._cores) > 1:
            self._cores.remove(lane.core)

    def keep(self) -> None:
        """What follows has to go to the endpoint that answered."""
        self._cores = [self.current.core]


def may_retry(error: BaseException, books: Books, *, unanswered: bool) -> bool:
    """Whether another attempt could do better, and would not pay twice for an answer that was lost.

    A 5xx that may be billed is retried: it stays booked at its worst case, and the retry reserves its own.
    """
    if isinstance(error, EmptyResponse):
        return True
    if isinstance(error, CircuitOpen) or not isinstance(error, APIError):
        return False
    last = books.attempts[-1] if books.attempts else None
    if last is None:
        return False
    if last.status == "released":
        return isinstance(error, RateLimited | ServerError | ConnectionFailed)
    return last.status == "unknown" and (unanswered or isinstance(error, ServerError))


def may_go_on(error: BaseException, books: Books, before: int, *, unanswered: bool) -> bool:
    """Whether the next endpoint may be asked after `error`, before which there were so many attempts."""
    last = books.attempts[-1] if len(books.attempts) > before else None
    held = last is not None and last.status == "unknown"
    allowed = last is None or last.status == "released" or (held and (unanswered or isinstance(error, ServerError)))
    return isinstance(error, EmptyResponse) or (allowed and isinstance(error, (*_TRANSIENT, *_NOT_HERE)))


def is_final(error: BaseException) -> bool:
    """Whether the endpoint would say the same again."""
    return isinstance(error, _NOT_HERE)


def more_telling(known: DeepthriftError | None, error: DeepthriftError) -> DeepthriftError:
    """Which of two errors to raise when no endpoint answered: a failure rather than a circuit that was open."""
    if known is None:
        return error
    if isinstance(error, CircuitOpen):
        sooner = isinstance(known, CircuitOpen) and (error.retry_after or 0.0) < (known.retry_after or 0.0)
        return error if sooner else known
    return error if isinstance(error, APIError | ResponseError) or isinstance(known, CircuitOpen) else known
