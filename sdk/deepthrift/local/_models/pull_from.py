"""Pulls a model from a hub, a URL or a path: checked, pinned in the lock file, and complete or not there at all."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from deepthrift._types.errors import ConfigurationError, DownloadError, ModelFileError
from deepthrift.local._models import download as _download
from deepthrift.local._models import hub as _hub
from deepthrift.local._models import in_progress as _under_way
from deepthrift.local._models import lock_file as _lock
from deepthrift.local._models import stored as _stored
from deepthrift.local._models.gguf import read_header
from deepthrift.local._models.lock_file import LockedFile, LockedModel
from deepthrift.local._models.registry import entries, models_folder

Report: TypeAlias = Callable[[Literal["waiting", "downloading", "checking"], int, int], None]

HUB: Final = "hf:"
_SPARE_BYTES: Final = 50_000_000
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be pulled, as the user said it."""

    source: str
    name: str | None = None
    file: str | None = None
    revision: str | None = None
    sha256: str | None = None
    update: bool = False


def is_source(text: str) -> bool:
    """Whether a word names a source, and not a model of the registry."""
    return text.startswith((HUB, "https://", "http://")) or text.endswith(".gguf") or "/" in text or "\\" in text


def pull_from(request: Request, report: Report) -> LockedModel:
    """Pull it, unless it is here already as the lock file has it.

    Raises:
        ConfigurationError: The request contradicts itself.
        MissingExtra: A hub is meant, and `deepthrift[hub]` is not installed.
        DownloadError: It cannot be fetched, differs from its hash or from the lock file, or the disk is too small.
        ModelFileError: The file is no sound GGUF.
    """
    source = request.source
    if source.startswith(HUB):
        return _from_hub(request, source.removeprefix(HUB), report)
    if request.file is not None or request.revision is not None:
        option = "--file" if request.file is not None else "--revision"
        raise ConfigurationError(f"{option} chooses within a repository (hf:owner/name), and {source!r} is none")
    if source.startswith(("https://", "http://")):
        return _from_url(request, report)
    return _from_path(request, report)


def _from_hub(request: Request, repository: str, report: Report) -> LockedModel:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ConfigurationError(f"{request.source!r} names no repository; write hf:owner/name")
    known = _known(request, request.name)
    pinned = known.revision if known is not None and not request.update else None
    model = _hub.find(repository, request.file, request.revision or pinned)
    name = _free_name(request, _stem(model.files[0].path))
    known = known or _known(request, name)
    files = tuple(LockedFile(name=Path(f.path).name, size=f.size, sha256=f.sha256) for f in model.files)
    _check_hash(request, files[0], request.source)
    locked = LockedModel(
        name=name, source=request.source, revision=model.commit, files=files, pulled_at=dt.datetime.now(dt.UTC)
    )
    _check_pin(request, known, locked)

    def fetch(number: int, folder: Path, done: Callable[[int], None]) -> Path:
        return _hub.fetch(model, model.files[number], folder, done)

    return _store(request, locked, fetch, report)


def _from_url(request: Request, report: Report) -> LockedModel:
    file = Path(urlsplit(request.source).path).name
    if not file.endswith(".gguf"):
        raise ConfigurationError("the URL of a model ends in .gguf")
    name = _free_name(request, _stem(file))
    known = _known(request, name)
    wanted = request.sha256 or (known.files[0].sha256 if known is not None and not request.update else None)
    if wanted is None:
        raise ConfigurationError(
            "a model is fetched by URL only with the hash it should have: --sha256 …, as its publisher states it"
        )
    if not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise ConfigurationError("a SHA-256 has 64 hexadecimal digits, in lower case")
    size = _download.remote_size(request.source)
    if size is None:
        raise DownloadError("the server does not say how large the file is; fetch it yourself, and give its path")
    # The URL itself is not kept where it may carry a signature or a password.
    plain = urlsplit(request.source)._replace(query="", fragment="")
    shown = plain._replace(netloc=plain.netloc.rpartition("@")[2]).geturl()
    locked = LockedModel(
        name=name,
        source=shown,
        files=(LockedFile(name=file, size=size, sha256=wanted),),
        pulled_at=dt.datetime.now(dt.UTC),
    )
    _check_pin(request, known, locked)

    def fetch(number: int, folder: Path, done: Callable[[int], None]) -> Path:
        target = folder / file
        _download.download(request.source, target, on_bytes=done, most=size)
        return target

    return _store(request, locked, fetch, report)


def _from_path(request: Request, report: Report) -> LockedModel:
    path = Path(request.source).expanduser().absolute()
    header = read_header(path)
    name = _free_name(request, _stem(path.name))
    files: list[LockedFile] = []
    done = 0
    for file in header.files:
        report("checking", done, header.size)
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        done += file.stat().st_size
        files.append(LockedFile(name=file.name, size=file.stat().st_size, sha256=found))
    _check_hash(request, files[0], str(path))
    locked = LockedModel(
        name=name,
        source=str(path),
        files=tuple(files),
        folder=str(path.parent),
        pulled_at=dt.datetime.now(dt.UTC),
    )
    check = partial(_check_pin, request, now=locked)
    check(_known(request, name))
    _lock.write(locked, check)
    return locked


def _store(
    request: Request,
    locked: LockedModel,
    fetch: Callable[[int, Path, Callable[[int], None]], Path],
    report: Report,
) -> LockedModel:
    """Fetch what is missing, check all of it, and write the lock file last: until then the model is not there.

    A second pull of the same files waits for the first one. One of other files under the same name is refused, at once
    if the first one is under way.
    """
    place = locked.place
    total = sum(file.size for file in locked.files)
    check = partial(_check_pin, request, now=locked)

    def wait() -> None:
        _under_way.check(place, locked)
        report("waiting", 0, total)

    with _stored.locked(place, on_wait=wait), _under_way.announced(place, locked) as same:
        # Another pull may have ended since the lock file was read.
        check(_lock.read().get(locked.name))
        scratch = place / ".partial"
        if not same:
            shutil.rmtree(scratch, ignore_errors=True)  # of another model, whose pull was killed
        missing = [n for n, file in enumerate(locked.files) if not _sound(file, place / file.name)]
        needed = sum(locked.files[number].size for number in missing)
        there = sum(file.stat().st_size for file in scratch.rglob("*") if file.is_file()) if scratch.is_dir() else 0
        if missing and shutil.disk_usage(place).free < needed - there + _SPARE_BYTES:
            raise DownloadError(
                f"{locked.name!r} takes {needed / 1e9:,.1f} GB, and {str(place)!r} does not have that much room: free "
                "some, or set DEEPTHRIFT_HOME to a folder on another disk."
            )
        done = total - needed
        for number in missing:
            file = locked.files[number]
            scratch.mkdir(exist_ok=True)
            before = done
            fresh = fetch(number, scratch, partial(_add, report, before, total))
            report("checking", before, total)
            with fresh.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found != file.sha256:
                fresh.unlink()
                raise DownloadError(
                    f"{file.name!r} arrived with the hash {found}, not {file.sha256}; it was thrown away"
                )
            fresh.replace(place / file.name)
            _stored.remember(file, place / file.name)
            done += file.size
        try:
            read_header(locked.first)
        except ModelFileError:
            for file in locked.files:
                _stored.forget(place / file.name)
            raise
        shutil.rmtree(scratch, ignore_errors=True)
        _lock.write(locked, check)
    return locked


def _add(report: Report, before: int, total: int, count: int) -> None:
    report("downloading", before + count, total)


def _sound(file: LockedFile, path: Path) -> bool:
    if not path.is_file():
        return False
    if _stored.is_verified(file, path):
        return True
    with contextlib.suppress(ModelFileError):
        _stored.verify(file, path)
        return True
    return False


def _known(request: Request, name: str | None) -> LockedModel | None:
    """The model in the lock file that the request means."""
    models = _lock.read()
    if name is not None:
        return models.get(name)
    return next((each for each in models.values() if each.source == request.source and request.file is None), None)


def _check_hash(request: Request, file: LockedFile, where: str) -> None:
    if request.sha256 is not None and request.sha256 != file.sha256:
        raise DownloadError(f"{where!r} has the hash {file.sha256}, not the one given")


def _check_pin(request: Request, known: LockedModel | None, now: LockedModel) -> None:
    if known is None or request.update:
        return
    if known.source != now.source:
        raise ConfigurationError(
            f"{known.name!r} is pulled from {known.source!r} already; give this one another --name"
        )
    if known.files != now.files:
        raise DownloadError(
            f"{known.name!r} is not what it was on {known.pulled_at:%Y-%m-%d}: its files have other hashes than the "
            "lock file. If that is meant, pull it again with --update."
        )


def _free_name(request: Request, default: str) -> str:
    name = request.name or default
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is no name: use small letters, digits, dots and hyphens; give one with --name"
        )
    if any(known.name == name for known in entries()):
        raise ConfigurationError(f"{name!r} is the name of a model of the registry; give another one with --name")
    return name


def _stem(path: str) -> str:
    stem = re.sub(r"-\d{5}-of-\d{5}$", "", Path(path).name.removesuffix(".gguf"))
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._") or "model"


def forget(model: LockedModel) -> int:
    """Delete a pulled model, and forget it; a file that was left in its own place stays there. Bytes freed."""
    freed = 0
    if model.folder is None:
        place = models_folder() / model.name
        with _stored.locked(place, on_wait=lambda: None):
            freed = sum(_stored.forget(place / file.name) for file in model.files)
            shutil.rmtree(place / ".partial", ignore_errors=True)
            _under_way.forget(place)
    _lock.drop(model.name)
    return freed
