"""What comes out of a call for an object."""

from __future__ import annotations

from typing import Generic, TypeVar

from deepthrift._types.reply import Reply

M = TypeVar("M")


class Parsed(Reply, Generic[M]):
    """An answer with the validated object in it.

    `attempts`, `usage`, `cost`, `warnings` and `seconds` cover repairs as well; the rest is the last answer's.
    """

    value: M
    """The object."""
    repairs: int
    """How often the model had to mend its answer."""
    group_id: str
    """Every attempt carries it in the ledger."""
