"""Text files of users, with or without a byte order mark."""

from __future__ import annotations

from deepthrift_pricing._values.text_file import encoding_by_mark, read_text

__all__ = [
    "encoding_by_mark",
    "read_text",
]
