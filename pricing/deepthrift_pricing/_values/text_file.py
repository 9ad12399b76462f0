"""Text files of users: UTF-8, or what a byte order mark says."""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from typing import Final

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_by_mark(data: bytes) -> str | None:
    """The encoding that a byte order mark at the beginning of `data` names, or `None` without one."""
    return next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)


def text_of(data: bytes) -> str:
    """The text in the bytes of a file, without a byte order mark, line ends as they are.

    Windows writes a mark by default: PowerShell in UTF-16 or UTF-8, Excel and Notepad in UTF-8.

    Raises:
        UnicodeDecodeError: It is neither UTF-8, nor what the mark says.
    """
    return data.decode(encoding_by_mark(data) or "utf-8")


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file, without a byte order mark, line ends as they are.

    Raises:
        OSError: The file cannot be read.
        UnicodeDecodeError: It is no text in UTF-8, nor what a mark says.
    """
    return text_of(Path(path).read_bytes())
