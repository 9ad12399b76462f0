"""Files that hold prompts or answers: only their owner may read them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Final, TextIO

_MODE: Final = 0o600


def private_file(path: Path) -> BinaryIO:
    """A file to write bytes to, in place of what is there."""
    return open(path, "wb", opener=_opened)


def private_text(path: Path) -> TextIO:
    """A file to write text to, in place of what is there."""
    return open(path, "w", encoding="utf-8", opener=_opened)


def _opened(name: str, flags: int) -> int:
    return os.open(name, flags, _MODE)


def private_descriptor(path: Path, *, create: bool = True) -> int:
    """A file to read and add to, made if it is not there."""
    flags = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0) | (os.O_CREAT if create else 0)
    return os.open(path, flags, _MODE)
