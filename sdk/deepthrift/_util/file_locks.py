"""Locks on open files: the system gives them back when the file is closed, or its holder ends, however it ends.

Our own, and not the `filelock` library, because that opens a lock file of its own at a path. Here the file that is
locked is one that is already open: a batch's out file is its own lock, with no second file next to it, and a lease is
handed to a child process with its descriptor. What is left for a library are two functions over `flock` and `msvcrt`,
too little for one more dependency of every installation.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

_PAUSE: Final = 0.1
"""Seconds between two looks at a lock that another one holds."""

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


@contextlib.contextmanager
def held(path: Path, on_wait: Callable[[], None] | None = None) -> Generator[None]:
    """Hold the lock on the file at `path`, which is made if need be.

    Args:
        path: The file; its folder must be there.
        on_wait: Called ten times a second while another one holds the lock; may raise to give up.

    Raises:
        OSError: The file cannot be made, or the file system has no locks.
    """
    with path.open("ab") as file:
        while not try_lock(file.fileno()):
            if on_wait is not None:
                on_wait()
            time.sleep(_PAUSE)
        try:
            yield
        finally:
            unlock(file.fileno())
