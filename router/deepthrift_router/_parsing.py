"""A validated object as a routed answer: what does not fit is escalated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from deepthrift.errors import StructuredOutputError
from deepthrift_router._reply import RoutedReply

if TYPE_CHECKING:
    from deepthrift import Reply
    from deepthrift.structured._target import Target

M = TypeVar("M")


class RoutedParsed(RoutedReply, Generic[M]):
    """A routed answer with the validated object in it."""

    value: M
    """The object."""


class FitsTarget:
    """The validator of `parse`: an answer that does not fit is never accepted."""

    __name__ = "into"

    def __init__(self, target: Target[M]) -> None:
        self._target = target

    def __call__(self, reply: Reply) -> bool | str:
        """Whether it fits, or what does not."""
        from deepthrift.structured._target import Misfit

        try:
            self._target.read(reply.text)
        except Misfit as misfit:
            return str(misfit)
        return True


def parsed(reply: RoutedReply, target: Target[M]) -> RoutedParsed[M]:
    """`reply` with its object.

    Raises:
        StructuredOutputError: Neither mode gave one that fits; it carries the reply, its attempts and its spend.
    """
    from deepthrift.structured._target import Misfit

    try:
        value = target.read(reply.text)
    except Misfit as misfit:
        raise StructuredOutputError(
            f"the answer is no {target.name}: {misfit}; {reply.decision.reason}",
            partial=reply,
            attempt_ids=tuple(attempt.id for attempt in reply.attempts),
            spend=reply.cost.total,
        ) from misfit
    return RoutedParsed[M](**dict(reply), value=value)
