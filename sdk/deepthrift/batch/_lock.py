"""One process for one out file."""

from __future__ import annotations

import sys


def lock(descriptor: int) -> bool:
    """Lock an open file until it is closed or the process ends; `False` when another has it."""
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
    except OSError:
        return False
    return True
