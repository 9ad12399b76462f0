"""Drawing several answers to one question: in one request where the host can, else in requests side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, cast

from deepthrift._call.call import Call
from deepthrift._call.endpoints.target import Target
from deepthrift._call.in_flight import InFlight
from deepthrift._types.errors import DeepthriftError, InvalidRequestError
from deepthrift._types.further_options import SampleOptions
from deepthrift._types.options import Options
from deepthrift._types.reply import Reply
from deepthrift._types.samples import Samples
from deepthrift_pricing import Money, new_id

_AT_ONCE: Final = 8
"""Requests side by side; further ones wait for one to end."""
_MOST: Final = 128


async def draw(
    cores: Sequence[Target],
    options: Options,
    n: int,
    in_flight: InFlight,
    blame: Callable[[DeepthriftError], Awaitable[None]],
) -> Samples:
    """`n` answers, every attempt of them booked.

    Raises:
        InvalidRequestError: The request is wrong.
        DeepthriftError: One failed; the others were cancelled. The error carries the attempts and spend of all.
    """
    number = cast("object", n)
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= _MOST:
        raise InvalidRequestError(f"n is a whole number from 1 to {_MOST}, not {n!r}")
    group_id = options.group_id or new_id("group")
    options = replace(options, group_id=group_id)
    replies: list[Reply] = []
    if n > 1 and _in_one(cores, options):
        held = {name: getattr(options, name) for name in options.__dataclass_fields__}
        call = Call(cores, SampleOptions(**held, n=n), stream=False)
        try:
            replies += await in_flight.run(call, call.run_all())
        except DeepthriftError as error:
            await blame(error)
            raise
    calls = [Call(cores, _nth(options, number), stream=False) for number in range(len(replies), n)]
    try:
        replies += await _side_by_side(calls, in_flight)
    except DeepthriftError as error:
        _annotate(error, replies, calls)
        await blame(error)
        raise
    return Samples(replies, group_id)


def _in_one(cores: Sequence[Target], options: Options) -> bool:
    """Whether one request may bring them all: where nothing that stands between reads the first answer alone."""
    if len(cores) > 1:
        return False
    [core] = cores
    shrinks = any(budget.policy in ("clamp", "downgrade") for budget in core.ledger.budgets)
    two_pass = core.profile.two_pass is not None and options.mode == "thinking"
    return core.profile.samples and not (shrinks or two_pass or core.settings.middleware)


def _nth(options: Options, number: int) -> Options:
    """The options of one of them: the same seed would bring the same answer."""
    return options if options.seed is None else replace(options, seed=options.seed + number)


async def _side_by_side(calls: Sequence[Call], in_flight: InFlight) -> list[Reply]:
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(call: Call) -> Reply:
        async with places:
            return await in_flight.run(call, call.run())

    tasks = [asyncio.create_task(one(call)) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _annotate(error: DeepthriftError, replies: Sequence[Reply], calls: Sequence[Call]) -> None:
    attempts = [attempt for reply in replies for attempt in reply.attempts]
    attempts += [attempt for call in calls for attempt in call.attempts]
    error.attempt_ids = tuple(attempt.id for attempt in attempts)
    if attempts:
        error.spend = Money.sum((attempt.cost.total for attempt in attempts), attempts[0].cost.total.currency)
