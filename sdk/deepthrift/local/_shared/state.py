"""What the keeper of a shared engine and its users tell each other, through files in one private folder."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from deepthrift._types import errors
from deepthrift._types.errors import ConfigurationError, DeepthriftError, EngineCrashed, EngineError
from deepthrift._util.private_files import private_text
from deepthrift.local._engine.settings import EngineSettings, Plan
from deepthrift.local._models.registry import models_folder
from deepthrift.local._process.start import Stage

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Phase: TypeAlias = Literal["starting", "ready", "failed"]


class ErrorRecord(BaseModel):
    """An error on its way from one process to another."""

    model_config = ConfigDict(frozen=True)

    kind: str
    message: str
    exit_code: int | None = None
    out_of_memory: bool | None = None
    log: str = ""
    pid: int = 0
    """Of the engine process that died, for a crash."""

    @classmethod
    def of(cls, error: DeepthriftError, pid: int = 0) -> ErrorRecord:
        """The same to be written down."""
        if isinstance(error, EngineCrashed):
            return cls(
                kind=type(error).__name__,
                message=error.message,
                exit_code=error.exit_code,
                out_of_memory=error.out_of_memory,
                log=error.log,
                pid=pid,
            )
        return cls(kind=type(error).__name__, message=error.message)

    def error(self) -> DeepthriftError:
        """The same to be raised."""
        kind: object = getattr(errors, self.kind, None) if self.kind in errors.__all__ else None
        if isinstance(kind, type) and issubclass(kind, EngineCrashed):
            return kind(self.message, exit_code=self.exit_code, out_of_memory=self.out_of_memory, log=self.log)
        if isinstance(kind, type) and issubclass(kind, EngineError | ConfigurationError):
            return kind(self.message)
        return EngineError(self.message)


class State(BaseModel):
    """How a shared engine is; written by its keeper, read by its users."""

    model_config = ConfigDict(frozen=True)

    phase: Phase
    settings: dict[str, object]
    """What the engine was asked for with."""
    stage: Stage = "checking"
    seconds: float = 0.0
    done: int = 0
    total: int = 0
    url: str = ""
    key: str = ""
    pid: int = 0
    name: str = ""
    path: str = ""
    """The model's file."""
    context: int = 0
    crashes: tuple[ErrorRecord, ...] = ()
    """The last ones."""
    crashed: int = 0
    """How often it has died altogether."""
    failure: ErrorRecord | None = None
    """Why it failed, or is not started again."""


class Folder:
    """The files of one shared engine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.leases = path / "leases"
        self.state = path / "state.json"
        self.log = path / "engine.log"
        self.start_lock = path / "start.lock"
        self.keeper_lock = path / "keeper.lock"

    @classmethod
    def of(cls, share: bool | str, settings: EngineSettings) -> Folder:
        """The folder of the engine with that name, or, with `True`, with those settings.

        Raises:
            ConfigurationError: The name is not one.
        """
        if isinstance(share, str):
            if not _NAME.fullmatch(share):
                raise ConfigurationError(
                    f"share={share!r} is not a name for an engine: use up to 64 letters, digits, dots and hyphens."
                )
            name = share
        else:
            told = json.dumps(settings.as_json(), sort_keys=True)
            name = f"settings-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
        return cls(models_folder().parent / "engines" / "shared" / name)

    def make(self) -> None:
        """Make the folders, for this user alone."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.leases.mkdir(exist_ok=True, mode=0o700)

    def read(self) -> State | None:
        """What the keeper wrote last, or `None` if there is nothing."""
        try:
            return State.model_validate_json(self.state.read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, state: State) -> None:
        """Replace what is there, at once."""
        fresh = self.state.with_suffix(".new")
        with private_text(fresh) as file:
            file.write(state.model_dump_json())
        fresh.replace(self.state)


def describe(plan: Plan) -> dict[str, object]:
    """What of a plan goes into the state."""
    return {"name": plan.name, "path": str(plan.header.path), "context": plan.context}


def settings_of(told: dict[str, object]) -> EngineSettings:
    """Settings that were written as JSON."""
    return EngineSettings(**told)  # type: ignore[arg-type]


def same_settings(settings: EngineSettings, told: dict[str, object]) -> tuple[str, ...]:
    """The names of the settings that differ."""
    mine = json.loads(json.dumps(settings.as_json()))
    return tuple(name for name in mine if mine[name] != told.get(name))
