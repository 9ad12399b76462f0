"""One process for one out file."""

from __future__ import annotations

import sys

from deepthrift.errors import BatchError


def lock(descriptor: int) -> bool:
    """Lock an open file until it is closed or the process ends; `False` when another has it.

    Raises:
        BatchError: The file system has no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt
            import os

            # A byte far behind the end, for a locked one cannot be read.
            os.lseek(descriptor, 2**40, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        raise BatchError(
            f"the out file cannot be locked: {error.strerror or error}; put it on a file system that has locks"
        ) from error
    return True
