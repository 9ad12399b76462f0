"""What is being pulled under a name right now, so that another file under the same name is refused at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from deepthrift._types.errors import ConfigurationError
from deepthrift.local._models.lock_file import LockedFile, LockedModel

_FILE: Final = ".pulling.json"
_CUT: Final = ".pulled-in-part.json"
"""The same of a pull that failed and left parts, which the next pull of these files goes on with."""


class _Download(BaseModel):
    """The source and the hashes of one pull, and the process that runs it."""

    model_config = ConfigDict(frozen=True)

    pid: int
    source: str
    files: tuple[LockedFile, ...]

    def same(self, model: LockedModel) -> bool:
        """Whether it pulls the very files of `model`."""
        return (self.source, self.files) == (model.source, model.files)


def check(place: Path, model: LockedModel) -> None:
    """Refuses `model` if the pull that holds the folder fetches something else under its name.

    Raises:
        ConfigurationError: It does.
    """
    other = _read(place / _FILE)
    if other is None or other.same(model) or not _alive(other.pid):
        return
    files = ", ".join(f"{each.name} with the hash {each.sha256[:12]}…" for each in other.files)
    raise ConfigurationError(
        f"{model.name!r} is being pulled from {other.source!r} right now ({files}), which is another file than "
        f"{model.source!r}: give this one another --name"
    )


@contextlib.contextmanager
def announced(place: Path, model: LockedModel) -> Generator[bool]:
    """Says what is being pulled while the folder is held; whether a pull that was cut left parts of the same files."""
    before = _read(place / _FILE) or _read(place / _CUT)
    mine = _Download(pid=os.getpid(), source=model.source, files=model.files)
    fresh = place / f"{_FILE}.new"
    fresh.write_text(mine.model_dump_json(), "utf-8")
    fresh.replace(place / _FILE)
    (place / _CUT).unlink(missing_ok=True)
    try:
        yield before is None or before.same(model)
    except BaseException:
        (place / _FILE).replace(place / _CUT)
        raise
    (place / _FILE).unlink(missing_ok=True)


def forget(place: Path) -> None:
    """Removes the notes about pulls into the folder, which the caller holds."""
    for name in (_FILE, _CUT):
        (place / name).unlink(missing_ok=True)


def _read(path: Path) -> _Download | None:
    try:
        return _Download.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _alive(pid: int) -> bool:
    """Whether the process is there; a note of one that is gone was left by a pull that was killed."""
    if os.name == "nt":
        return True  # there is no harmless way to ask, and the folder is held by someone
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
