"""How deeply a host's models can think: the levels that it has, and how a request asks for one."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from typing import Self

from pydantic import BaseModel, ConfigDict, JsonValue, model_validator

from deepthrift.hosts import _catalog


class Efforts(BaseModel):
    """The levels of thinking of some models of a host, such as `low`, `high` and `max`."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    models: tuple[str, ...] = ()
    """The models that have them, as names or patterns with `*`, in lower case; none: all models of the profile."""
    levels: tuple[str, ...]
    """From the shallowest to the deepest, as `effort` names them."""
    aliases: dict[str, str] = {}
    """Other names that the host takes, and the level that each of them means."""
    default: str | None = None
    """The level at which thinking mode runs when a call names none; `None` where the host doesn't say."""
    off: tuple[str, ...] = ()
    """The host's own levels that switch thinking off, such as `none`. A call that names one runs standard mode."""
    always: bool = False
    """Whether these models think in every call, so that they have no standard mode."""
    field: str = "reasoning_effort"
    """Where the level goes in the request's body; a dot steps into an object, as in `output_config.effort`."""
    source: str = ""
    """Where this was read, if not where the rest of the profile was."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        named = (*self.aliases.values(), *(() if self.default is None else (self.default,)))
        if wrong := [level for level in named if level not in self.levels]:
            raise ValueError(f"{wrong[0]!r} is none of the levels {', '.join(self.levels)}")
        return self

    def covers(self, model: str) -> bool:
        """Whether `model` has these levels."""
        name = model.lower().rpartition("/")[2]
        return not self.models or any(fnmatchcase(name, pattern) for pattern in self.models)

    def body(self, level: str) -> dict[str, JsonValue]:
        """The fields of a request's body that ask for `level`."""
        *path, last = self.field.split(".")
        held: dict[str, JsonValue] = {last: level}
        for name in reversed(path):
            held = {name: held}
        return held


def efforts_for(own: Sequence[Efforts], model: str) -> Efforts | None:
    """The levels of `model`: those of the first table of the profile that names it, else those of the model itself."""
    return next((each for each in (*own, *of_models()) if each.covers(model)), None)


@cache
def of_models() -> tuple[Efforts, ...]:
    """The levels that belong to models, whichever host serves them."""
    tables = tomllib.loads(_catalog.model_text())["efforts"]
    return tuple(Efforts.model_validate(table) for table in tables)
