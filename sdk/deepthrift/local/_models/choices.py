"""Good choices of models for a machine, from `choices.toml`."""

from __future__ import annotations

import datetime as dt
import tomllib
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict

from deepthrift.local._models.registry import FileName


class ModelChoice(BaseModel):
    """A model that is a good choice for machines it fits on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: FileName
    """What `deepthrift models pull` takes."""
    title: str
    repository: str | None = None
    """On the hub; `None` for the default model, which comes from the package index."""
    file: str | None = None
    """The file there, or a pattern of it."""
    size_gb: float
    """On disk, about."""
    memory_gb: float
    """Of RAM and GPU memory altogether, about, as published; measured only where `tested` is true."""
    licence: str
    thinking: Literal["switch", "two-pass", "none"]
    context: int
    tested: bool = False
    """Whether it was run with Deepthrift."""
    source: str
    """Where the figures are from."""
    checked: dt.date


def choices() -> tuple[ModelChoice, ...]:
    """Every choice, hybrid models first, the smaller before the larger."""
    return _read()


@cache
def _read() -> tuple[ModelChoice, ...]:
    text = resources.files("deepthrift.local").joinpath("choices.toml").read_text("utf-8")
    return tuple(ModelChoice.model_validate(row) for row in tomllib.loads(text)["choice"])


def fitting(*, memory_gb: float | None = None, disk_gb: float | None = None) -> tuple[ModelChoice, ...]:
    """The choices that fit; what is left out fits always."""
    return tuple(
        choice
        for choice in choices()
        if (memory_gb is None or choice.memory_gb <= memory_gb) and (disk_gb is None or choice.size_gb <= disk_gb)
    )
