"""What a docstring says of a function and of each of its parameters: Google, NumPy and Sphinx styles."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import Final

_GOOGLE_HEADS: Final = frozenset({"args:", "arguments:", "parameters:", "params:"})
_NUMPY_HEADS: Final = frozenset({"parameters", "other parameters"})
_GOOGLE_ITEM: Final = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_NUMPY_ITEM: Final = re.compile(r"^\*{0,2}(\w+)\s*(?::.*)?$")
_SPHINX_ITEM: Final = re.compile(r"^:(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)$")
_GOOGLE_SECTION: Final = re.compile(r"^[A-Z][A-Za-z ]*:$")


@dataclass(frozen=True, slots=True)
class Documentation:
    """The parts of a docstring that a model should see."""

    summary: str = ""
    """Everything before the first section, paragraphs kept."""
    parameters: dict[str, str] = field(default_factory=dict[str, str])


def read_docstring(text: str | None) -> Documentation:
    """Split a docstring; anything that is not understood stays part of the summary or is passed over."""
    if not text:
        return Documentation()
    lines = inspect.cleandoc(text).splitlines()
    end = next((at for at in range(len(lines)) if _starts_section(lines, at)), len(lines))
    summary = "\n".join(lines[:end]).strip()
    found: dict[str, str] = {}
    at = end
    while at < len(lines):
        line = lines[at].strip()
        if _underlined(lines, at):
            at = _items(lines, at + 2, _NUMPY_ITEM, found if line.lower() in _NUMPY_HEADS else {}, 0)
        elif _GOOGLE_SECTION.match(line):
            at = _items(lines, at + 1, _GOOGLE_ITEM, found if line.lower() in _GOOGLE_HEADS else {}, None)
        elif match := _SPHINX_ITEM.match(line):
            at = _continued(lines, at + 1, 0, found, match[1], match[2])
        else:
            at += 1
    return Documentation(summary, found)


def _starts_section(lines: list[str], at: int) -> bool:
    line = lines[at].strip()
    if line.startswith(":") and re.match(r"^:\w+[^:]*:", line):
        return True
    if _underlined(lines, at):
        return True
    # "Note:" in running text is no section: its body has to be indented.
    following = lines[at + 1] if at + 1 < len(lines) else ""
    return bool(_GOOGLE_SECTION.match(lines[at])) and following.startswith((" ", "\t"))


def _underlined(lines: list[str], at: int) -> bool:
    return at + 1 < len(lines) and bool(lines[at].strip()) and re.fullmatch(r"\s*-{3,}\s*", lines[at + 1]) is not None


def _items(lines: list[str], at: int, item: re.Pattern[str], found: dict[str, str], indent: int | None) -> int:
    """Read `name: text` entries from line `at` on; their indentation is that of the first. Returns the line after."""
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
            continue
        here = len(line) - len(line.lstrip())
        if indent is None:
            if here == 0:
                return at
            indent = here
        if here < indent or _underlined(lines, at):
            return at
        match = item.match(line.strip())
        if match is None or here > indent:
            at += 1
            continue
        at = _continued(lines, at + 1, indent, found, match[1], match[2] if match.lastindex == 2 else "")
    return at


def _continued(lines: list[str], at: int, indent: int, found: dict[str, str], name: str, first: str) -> int:
    parts = [first.strip()]
    while at < len(lines):
        line = lines[at]
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            break
        if not line.strip() and (at + 1 >= len(lines) or not lines[at + 1].startswith(" " * (indent + 1))):
            break
        parts.append(line.strip())
        at += 1
    found[name] = " ".join(part for part in parts if part)
    return at
