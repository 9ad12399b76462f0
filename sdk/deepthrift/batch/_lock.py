"""One process for one out file."""

from __future__ import annotations

from deepthrift._types.errors import BatchError
from deepthrift._util.file_locks import try_lock


def lock(descriptor: int) -> bool:
    """Lock an open file until it is closed or the process ends; `False` when another has it.

    Raises:
        BatchError: The file system has no locks.
    """
    try:
        return try_lock(descriptor)
    except OSError as error:
        raise BatchError(
            f"the out file cannot be locked: {error.strerror or error}; put it on a file system that has locks"
        ) from error
