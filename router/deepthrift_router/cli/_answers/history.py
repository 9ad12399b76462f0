"""What was typed in `deepthrift chat`, kept for the next time: in a file that only its owner may read."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import Final, Protocol, cast

MOST_LINES: Final = 1000


class _Readline(Protocol):
    """The part of the standard library's `readline` that is used here; Windows has none."""

    def read_history_file(self, filename: str) -> None: ...

    def write_history_file(self, filename: str) -> None: ...

    def set_history_length(self, length: int) -> None: ...


@contextlib.contextmanager
def line_editing(history: Path | None) -> Generator[None]:
    """Gives `input()` line editing and a history, where this system has them; `None` keeps nothing.

    A history that cannot be read or written is no reason not to talk.
    """
    try:
        readline = cast("_Readline", importlib.import_module("readline"))
    except ImportError:
        yield
        return
    if history is None:
        yield
        return
    with contextlib.suppress(OSError):
        history.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(history, os.O_RDWR | os.O_CREAT, 0o600))
        history.chmod(0o600)
        readline.read_history_file(str(history))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            readline.set_history_length(MOST_LINES)
            readline.write_history_file(str(history))
            history.chmod(0o600)  # readline writes a new file in its place
