"""Text in CSV that no spreadsheet runs as a formula (CWE-1236), and back."""

from __future__ import annotations

import re
from typing import Final

_BLANK: Final = r"""[\s"'`\x00-\x1f\x7f\u00ad\u180e\u200b-\u200f\u2028-\u202f\u2060-\u2064\ufeff]*"""
"""What a spreadsheet, or a program in front of it, may strip from the beginning of a cell."""
_STARTERS: Final = "=+\\-@|%\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\ufe66\ufe6b\u2212"
"""Signs that begin a formula, a call of a program or a number; also full-width and small ones."""
_EDGE: Final = r"(?:^|(?<=[;\t\r\n]))"
"""Where a cell begins: at the start, or where a spreadsheet with another separator would split the line."""
_LIVE: Final = rf"(?={_BLANK}[{_STARTERS}]|'*[\t\r\n])"
_ADD: Final = re.compile(rf"{_EDGE}{_LIVE}")
_TAKE: Final = re.compile(rf"{_EDGE}'{_LIVE}")


def defuse(text: str) -> str:
    """The text with an apostrophe in front of whatever a spreadsheet would run. `restore` takes it away again.

    >>> defuse("@cf/vendor/model"), defuse("deepseek-chat")
    ("'@cf/vendor/model", 'deepseek-chat')
    """
    return _ADD.sub("'", text)


def restore(text: str) -> str:
    """The text that `defuse` was given.

    >>> restore("'@cf/vendor/model")
    '@cf/vendor/model'
    """
    return _TAKE.sub("", text)
