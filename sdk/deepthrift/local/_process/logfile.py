"""A log in a file: private, and bounded by beginning anew when it is full."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

_MOST: Final = 1_000_000


class LogFile:
    """Lines in a file that only its owner can read.

    A full file becomes `NAME.1`, in place of the one before, so that there are never more than two.

    Args:
        path: The file; its folder is made if need be.
        most: Bytes after which it is full.
    """

    def __init__(self, path: Path, most: int = _MOST) -> None:
        self._path = path
        self._most = most
        self._lock = threading.Lock()

    def __call__(self, line: str) -> None:
        """Add a line. An engine goes on when it cannot be written: whoever calls this suppresses its errors."""
        data = line.encode("utf-8", "replace") + b"\n"
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._path.exists() and self._path.stat().st_size + len(data) > self._most:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, data[: self._most])
            finally:
                os.close(file)
