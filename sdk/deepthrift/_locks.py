"""Locks on open files: the system gives them back when the file is closed, or its holder ends, however it ends."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import msvcrt

    def try_lock(descriptor: int) -> bool:
        """Take the lock on an open file, unless another one holds it. Never waits.

        Raises:
            OSError: The file system has no locks.
        """
        os.lseek(descriptor, 2**40, os.SEEK_SET)  # a byte far behind the end, for a locked one cannot be read
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Give it back, and keep the file open."""
        os.lseek(descriptor, 2**40, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Take the lock on an open file, unless another one holds it. Never waits.

        Raises:
            OSError: The file system has no locks.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Give it back, and keep the file open."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)
