"""The embedded engine of `AsyncClient.local`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, cast

from deepthrift._client.settings import ClientSettings, LocalSettings
from deepthrift._types.engine_options import EngineOptions
from deepthrift._types.errors import ConfigurationError

if TYPE_CHECKING:
    from deepthrift.local import Engine


def local_engine(
    model: str | Path | None, settings: LocalSettings
) -> tuple[Engine, tuple[Decimal | str, Decimal | str] | None, ClientSettings]:
    """The engine, the machine's cost per hour with its utilisation, and the settings of the client.

    Raises:
        MissingExtra: `deepthrift[local]` is not installed.
        ConfigurationError: A setting is wrong.
    """
    from deepthrift.local._engine.options import engine_of

    values: dict[str, object] = dict(settings)
    engine = settings.get("engine")
    hour, busy = settings.get("machine_hour"), settings.get("utilisation", "1")
    if hour is not None and settings.get("prices") is not None:
        raise ConfigurationError("prices come from prices=… or from machine_hour=…, not from both")
    if hour is not None:
        from deepthrift.local._engine.measure import check_hour

        check_hour(hour, busy)
    for name in ("engine", "machine_hour", "utilisation"):
        values.pop(name, None)
    options = {name: values.pop(name) for name in EngineOptions.__annotations__ if name in values}
    engine = engine_of(engine, model, cast("EngineOptions", options))
    values = {**values, "host": "local", "prices": settings.get("prices") or "brief"}
    values["circuit_breaker"] = None  # an engine that died is started again; there's nothing to wait for
    return engine, None if hour is None else (hour, busy), cast("ClientSettings", values)
