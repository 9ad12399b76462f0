"""The text of an invoice, whatever program wrote it."""

from __future__ import annotations

from typing import Final

from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing._values.text_file import encoding_by_mark

_SAMPLE: Final = 4096
_COMMON: Final = range(0xB0, 0xD8)
"""First bytes of the common Chinese characters in GB 2312."""
_SIGNS: Final = range(0xA1, 0xAA)


def decode(data: bytes, name: str) -> tuple[str, str | None]:
    """The text, and how it was encoded if that had to be guessed.

    Raises:
        ConfigurationError: It is text in no encoding that is known here.
    """
    marked = encoding_by_mark(data) or _wide(data[:_SAMPLE])
    if marked is not None:
        try:
            return data.decode(marked), None
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{name} is not {marked}, as it begins: {error.reason}") from None
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        pass
    for encoding in ("gb18030", "cp1252"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding != "gb18030" or _is_chinese(text):
            return text, encoding
    raise ConfigurationError(f"{name} is no text in UTF-8, UTF-16 or GB 18030; save it as CSV in UTF-8")


def _wide(sample: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of a table in it is zero."""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if half < 4:
        return None
    if odd > half * 0.6 and even < half * 0.1:
        return "utf-16-le"
    return "utf-16-be" if even > half * 0.6 and odd < half * 0.1 else None


def _is_chinese(text: str) -> bool:
    """Whether what is not ASCII is mostly common Chinese, and not a European text read as such."""
    common = other = 0
    for char in text:
        if char.isascii():
            continue
        try:
            first = char.encode("gb2312")[0]
        except UnicodeEncodeError:
            other += 1
            continue
        if first in _COMMON or first in _SIGNS:
            common += 1
        else:
            other += 1
    return common > other
