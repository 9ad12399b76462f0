"""The commands, one file each. A new file here, in one of the folders, is a new command.

The file's name is the command's name, the first line of its docstring is its help in the list of commands, and its
`command` is what click runs. A file is imported when its command is used, never before.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent


@cache
def commands() -> dict[str, str]:
    """Every command with the first line of its file's docstring, in alphabetical order."""
    return {name: _summary(file) for name, file in sorted(_files().items())}


def module_of(name: str) -> str:
    """The module of a command."""
    return f"{__name__}.{_files()[name].parent.name}.{name}"


@cache
def _files() -> dict[str, Path]:
    return {file.stem: file for file in _FOLDER.glob("*/*.py") if not file.stem.startswith("_")}


def _summary(file: Path) -> str:
    with file.open(encoding="utf-8") as lines:
        return lines.readline().strip().strip('"')
