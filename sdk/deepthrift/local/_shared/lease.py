"""Locks and leases on files: the system gives them back when their holder ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import secrets
import weakref
from pathlib import Path
from typing import Final

from deepthrift._util.file_locks import try_lock, unlock

SUFFIX: Final = ".lease"


class FileLock:
    """A lock that one open file of the machine can hold. Never waits."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _OPEN.add(self)

    def take(self) -> bool:
        """Take the lock, unless another one holds it."""
        return try_lock(self._file)

    def give(self) -> None:
        """Give it back, and keep the file open."""
        unlock(self._file)

    @property
    def held_elsewhere(self) -> bool:
        """Whether another one holds it."""
        if self.take():
            self.give()
            return False
        return True

    def close(self) -> None:
        """Give it back and close the file. Safe to call twice."""
        if self._file >= 0:
            self.give()
        self.forget()

    def forget(self) -> None:
        """Close the file, and leave the lock to the other processes that have it open."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


_OPEN: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _close_all() -> None:
    for lock in list(_OPEN):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_all)  # a fork would hold the lease beyond the end of its parent


class Lease:
    """One user of something shared. It ends with `close`, or with this process.

    Args:
        folder: Where all leases of the thing are.
    """

    def __init__(self, folder: Path) -> None:
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._lock = FileLock(folder / name)
        self._lock.take()
        self._path = folder / f"{name}{SUFFIX}"
        self._lock.path.rename(self._path)  # only now it counts: a lease without its lock would be swept

    def touch(self) -> None:
        """Say that the thing is in use now."""
        with contextlib.suppress(OSError):
            os.utime(self._path)

    def close(self) -> None:
        """Give it up. Safe to call twice."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        self._lock.close()


def leases(folder: Path) -> list[float]:
    """When each lease in force was last touched, in seconds since the epoch; those of ended processes are removed."""
    found: list[float] = []
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):
            lock = FileLock(path)
            try:
                if lock.take():
                    path.unlink(missing_ok=True)
                else:
                    found.append(path.stat().st_mtime)
            finally:
                lock.close()
    return found
