"""The folder that a program works in: made, watched, and removed whatever the program left in it."""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
import tempfile
import warnings
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final

_EVERY: Final = 0.05
"""Seconds between two looks at a folder that no file system limits."""


def make_folder() -> str:
    """A new folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="deepthrift-")).resolve()
    if os.name == "posix" and os.geteuid() == 0:
        folder.chmod(0o777)  # isolated code of a superuser runs as nobody
    return str(folder)


async def watch_folder(work: str, most_bytes: int, most_files: int, end: Callable[[], None]) -> None:
    """Calls `end` once the folder holds more bytes or files than it may; used where no file system sees to that."""
    while True:
        if await asyncio.to_thread(_beyond, work, most_bytes, most_files):
            end()
            return
        await asyncio.sleep(_EVERY)


def _beyond(work: str, most_bytes: int, most_files: int) -> bool:
    """Whether there is more than allowed; it stops counting there, so that a huge folder costs no more."""
    size, files, folders = 0, 0, [work]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for each in entries:
                    files += 1
                    if each.is_dir(follow_symlinks=False):
                        folders.append(each.path)
                    else:
                        size += each.stat(follow_symlinks=False).st_size
                    if files > most_files or size > most_bytes:
                        return True
        except OSError:  # it is being changed, or has no rights
            continue
    return False


def remove_folder(work: str) -> None:
    """Remove the folder, whatever the code left in it: no rights, links that lead elsewhere, folders thousands deep.

    Each folder's own folders are moved up before it goes, so that nothing here is as deep as what was made, and only
    real folders are opened up: the target of a link is not ours to touch.
    """
    names, mark = count(), secrets.token_hex(8)
    try:
        while folders := [each.path for each in os.scandir(work) if each.is_dir(follow_symlinks=False)]:
            for folder in folders:
                Path(folder).chmod(stat.S_IRWXU)
                for each in list(os.scandir(folder)):
                    if each.is_dir(follow_symlinks=False):
                        Path(each.path).chmod(stat.S_IRWXU)
                        Path(each.path).rename(Path(work) / f"{mark}-{next(names)}")
                    else:
                        Path(each.path).unlink()
                Path(folder).rmdir()
        for each in list(os.scandir(work)):
            Path(each.path).unlink()
        Path(work).rmdir()
    except OSError as error:
        warnings.warn(f"the folder of a sandbox could not be removed: {error}", ResourceWarning, stacklevel=2)
