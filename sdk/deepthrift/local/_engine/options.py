"""What a client may say of its engine, in the place of an engine that is configured apart."""

from __future__ import annotations

from pathlib import Path
from typing import Final, cast

from deepthrift._types.engine_options import EngineOptions
from deepthrift._types.errors import ConfigurationError
from deepthrift.local._engine.engine import Engine

_LEFT_OUT: Final[EngineOptions] = {
    "context": None,
    "slots": 1,
    "threads": None,
    "template": None,
    "share": False,
    "idle_shutdown": None,
}


def engine_of(engine: Engine | None, model: str | Path | None, options: EngineOptions) -> Engine:
    """The engine that was `given`, or a new one.

    Raises:
        ConfigurationError: A setting is wrong, or it is of an engine that has its own settings.
    """
    if engine is None:
        return Engine(model, **options)
    settings = cast("dict[str, object]", {"model": model, **options})
    left_out = cast("dict[str, object]", {"model": None, **_LEFT_OUT})
    for name, value in settings.items():
        if value != left_out[name]:
            raise ConfigurationError(f"{name} is a setting of the engine that is given: say it there, Engine({name}=…)")
    return engine
