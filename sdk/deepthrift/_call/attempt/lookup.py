"""Answers that a middleware has already: asked for before an attempt needs its endpoint, or room in a budget."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

from deepthrift._admission.clock import Clock
from deepthrift._call.attempt.booking import Books
from deepthrift._call.endpoints.target import Target
from deepthrift._call.prepare.passes import Step
from deepthrift._types.errors import ConfigurationError
from deepthrift.middleware import Middleware, Request, Response
from deepthrift_pricing import Attempt

_Find: TypeAlias = Callable[[Request], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Found:
    """An answer that needs no endpoint."""

    attempt: Attempt
    request: Request
    response: Response
    outer: Sequence[Middleware]
    """The middleware around the one that has it."""


async def look_up(core: Target, books: Books, step: Step, clock: Clock) -> Found | None:
    """The answer that the first middleware has which has one, taken into `books` as an attempt that is not sent.

    Raises:
        PriceNotFound: There is no price for it.
        DeadlineExceeded: It took too long.
    """
    middleware = core.settings.middleware
    finders = [(place, find) for place, each in enumerate(middleware) if (find := _finder(each)) is not None]
    if not finders:
        return None
    asked, attempt = books.draft(step)
    told = core.sender.told(step.request.path, step.request.headers, beside=step.request.beside)
    request = books.exchange(attempt, step.request, told)
    for place, find in finders:
        limit = clock.limit()
        try:
            async with limit:
                response = await find(request)
        except TimeoutError:
            if limit.expired():
                raise clock.timed_out(math.inf) from None
            raise
        if isinstance(response, Response):
            books.take_unsent(asked, attempt)
            return Found(attempt, request, response, middleware[:place])
        if response is not None:
            raise ConfigurationError(
                f"find_answer of {type(middleware[place]).__name__} returned {type(response).__name__}, which is "
                "neither a Response nor None"
            )
    return None


def _finder(middleware: Middleware) -> _Find | None:
    found = getattr(middleware, "find_answer", None)
    return cast("_Find", found) if callable(found) else None
