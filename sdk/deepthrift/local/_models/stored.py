"""A model file on this machine: whether it is the one it should be, told cheaply, and one writer at a time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO, Final, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from deepthrift._types.errors import DownloadError, ModelFileError
from deepthrift._util.file_locks import held
from deepthrift.local._models.registry import ModelEntry, models_folder

_BLOCK: Final = 4 * 1024 * 1024


class HashedFile(Protocol):
    """A file that is known by its hash."""

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def sha256(self) -> str: ...


class _Record(BaseModel):
    """What was hashed, so that an untouched file need not be hashed again."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    size: int
    modified_ns: int


def stored_path(entry: ModelEntry) -> Path:
    """Where the file of a known model belongs, whether it is there or not."""
    return models_folder() / entry.name / entry.file


def is_verified(entry: HashedFile, path: Path) -> bool:
    """Whether the file is there and untouched since its hash was checked. Reads no more than its record."""
    try:
        found = path.stat()
        record = _Record.model_validate_json(_record_path(path).read_bytes())
    except (OSError, ValidationError):
        return False
    return record == _Record(sha256=entry.sha256, size=found.st_size, modified_ns=found.st_mtime_ns)


def verify(entry: HashedFile, path: Path) -> None:
    """Hash the whole file, and remember that it is right.

    Raises:
        ModelFileError: It is not the file that the registry pins.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest() if size == entry.size else None
    except OSError as error:
        raise ModelFileError(f"The model file {str(path)!r} cannot be read: {error}.") from None
    if found != entry.sha256:
        raise ModelFileError(
            f"The model file {str(path)!r} is damaged or was changed: run `deepthrift models pull` with its name once "
            "more."
        )
    remember(entry, path)


def remember(entry: HashedFile, path: Path) -> None:
    """Note that the hash of the file was checked and is right."""
    found = path.stat()
    record = _Record(sha256=entry.sha256, size=found.st_size, modified_ns=found.st_mtime_ns)
    with contextlib.suppress(OSError):  # a cache that cannot be written is hashed again next time
        beside = _record_path(path)
        fresh = beside.with_name(f"{beside.name}.{os.getpid()}.{time.monotonic_ns()}")
        fresh.write_text(json.dumps(record.model_dump()), "utf-8")
        fresh.replace(beside)


def forget(path: Path) -> int:
    """Delete the file and its record; bytes freed."""
    freed = path.stat().st_size if path.exists() else 0
    _record_path(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return freed


def copy_hashed(source: IO[bytes], target: Path, *, size: int, on_bytes: Callable[[int], None]) -> str:
    """Copy a stream of exactly `size` bytes into a new file, safely on disk at the end; its SHA-256.

    Raises:
        DownloadError: The stream is longer or shorter than that.
    """
    digest = hashlib.sha256()
    done = 0
    with target.open("xb") as out:
        while block := source.read(_BLOCK):
            done += len(block)
            if done > size:
                break
            digest.update(block)
            out.write(block)
            on_bytes(done)
        if done != size:
            raise DownloadError(f"The fetched model does not have the {size:,} bytes that it should have; try again.")
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


@contextlib.contextmanager
def locked(folder: Path, *, on_wait: Callable[[], None]) -> Generator[None]:
    """Hold the folder's lock, so that two processes or threads never write into it at once.

    Args:
        folder: It is made if need be.
        on_wait: Called ten times a second while another one holds the lock; may raise to give up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / ".lock", on_wait):
        yield


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.checked.json")
