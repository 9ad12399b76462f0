"""What was pulled from elsewhere than the registry, pinned by hash: `models.lock.json` in the folder of the models."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from deepthrift._types.errors import ModelFileError
from deepthrift.local._models import stored as _stored
from deepthrift.local._models.registry import FileName, Sha256, models_folder

_FILE: Final = "models.lock.json"


def _bare(name: str) -> str:
    if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise ValueError("a file is named without its folder")
    return name


class LockedFile(BaseModel):
    """One file of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(_bare)]
    size: int
    sha256: Sha256


class LockedModel(BaseModel):
    """One model that was pulled by its source, and what its files were then."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: FileName
    source: str
    """As it was named: `hf:owner/repository`, a URL, or a path."""
    revision: str | None = None
    """The commit of the repository."""
    files: tuple[LockedFile, ...]
    folder: str | None = None
    """Where the files lie, if they were left in their own place."""
    pulled_at: dt.datetime

    @property
    def first(self) -> Path:
        """The file that the engine is given."""
        return self.place / self.files[0].name

    @property
    def place(self) -> Path:
        """The folder of the files."""
        return models_folder() / self.name if self.folder is None else Path(self.folder)


class _Lock(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: int = 1
    models: dict[str, LockedModel] = {}


def read() -> dict[str, LockedModel]:
    """Every model that was pulled, by name.

    Raises:
        ModelFileError: The file cannot be read.
    """
    path = models_folder() / _FILE
    try:
        return _Lock.model_validate_json(path.read_bytes()).models
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValidationError) as error:
        raise ModelFileError(
            f"{str(path)!r} cannot be read ({error}): mend it, or delete it and pull your models again."
        ) from None


def write(model: LockedModel, check: Callable[[LockedModel | None], None]) -> None:
    """Add or replace one model; other processes may do so at the same time.

    Args:
        model: What was pulled.
        check: Sees what the name stands for at that moment, while nobody else can change it; raises to refuse.
    """
    _change(model.name, model, check)


def drop(name: str) -> None:
    """Forget one model."""
    _change(name, None)


def _change(
    name: str, model: LockedModel | None, check: Callable[[LockedModel | None], None] = lambda known: None
) -> None:
    folder = models_folder()
    with _stored.locked(folder, on_wait=lambda: None):
        models = read()
        check(models.get(name))
        if model is None:
            models.pop(name, None)
        else:
            models[name] = model
        fresh = folder / f"{_FILE}.{os.getpid()}"
        fresh.write_text(_Lock(models=models).model_dump_json(indent=2) + "\n", encoding="utf-8")
        fresh.replace(folder / _FILE)
