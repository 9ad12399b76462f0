"""A validated object as a routed answer: what does not fit is escalated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from deepthrift.errors import StructuredOutputError
from deepthrift_router._evidence.validators import Fits
from deepthrift_router._record.reply import RoutedReply

if TYPE_CHECKING:
    from deepthrift.shared.structured import Target

M = TypeVar("M")


class RoutedParsed(RoutedReply, Generic[M]):
    """A routed answer with the validated object in it."""

    value: M
    """The object."""


class FitsTarget(Fits):
    """The validator of `parse`: an answer that does not fit is never accepted."""

    def __init__(self, target: Target[M]) -> None:
        self._read = target.read
        self.__name__ = "into"


def parsed(reply: RoutedReply, target: Target[M]) -> RoutedParsed[M]:
    """`reply` with its object.

    Raises:
        StructuredOutputError: Neither mode gave one that fits; it carries the reply, its attempts and its spend.
    """
    from deepthrift.shared.structured import SchemaMismatch

    try:
        value = target.read(reply.text)
    except SchemaMismatch as misfit:
        raise StructuredOutputError(
            f"the answer is no {target.name}: {misfit}; {reply.decision.reason}",
            partial=reply,
            attempt_ids=tuple(attempt.id for attempt in reply.attempts),
            spend=reply.cost.total,
        ) from misfit
    return RoutedParsed[M](**dict(reply), value=value)
