"""A setting fitted on the user's own labels: a versioned file of likelihoods and base rates, never code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from deepthrift.errors import ConfigurationError
from deepthrift_pricing.shared.files import read_text
from deepthrift_router._belief.belief import Belief, Cells
from deepthrift_router._belief.likelihoods import Likelihoods, SignalData
from deepthrift_router._belief.prior import Score, Scorer

if TYPE_CHECKING:
    from deepthrift import Messages

_CURRENT: Final = "current"


class Lift(BaseModel):
    """How much better the setting is than the one before, on labels that it was not fitted on."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    mean: float
    """Mean reduction of the log loss of both probabilities, in nats per answer."""
    low: float
    """Lower end of the 95 % interval, by bootstrap over questions."""
    high: float
    before: float
    """The log loss of the setting before."""
    after: float
    folds: int


class PriorShift(BaseModel):
    """How the score of a question moves towards the user's own outcomes: log weights times `scale`, plus `shift`."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    scale: float
    shift: Cells

    def apply(self, belief: Belief) -> Belief:
        """The belief after the shift."""
        return Belief.of_logits([self.scale * a + b for a, b in zip(belief.logits, self.shift, strict=True)])


class Setting(BaseModel):
    """What `calibrate` learned. Its file is JSON; an unknown or missing field is an error.

    Raises:
        ConfigurationError: A file cannot be read, or is not a setting.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    format: Literal[1] = 1
    version: str
    """When it was made, in UTC, such as `20261126T011500Z`."""
    made: datetime
    base: str
    """The version of the setting that it was compared with."""
    labels: int
    questions: int
    """Different questions among the labels."""
    prior: PriorShift | None = None
    signals: Mapping[str, SignalData]
    """Likelihoods that take the place of the shipped ones."""
    lift: Lift
    gains: tuple[tuple[float, int, int], ...] = ()
    """Of each label: the gain believed without it, and whether the kept answer and thinking were right. What
    `max_quality_loss` rests on."""
    process: str = ""
    """How the evidence was bought that those gains rest on, such as `samples=3`; empty: in more than one way."""

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """The setting in a file."""
        try:
            return cls.model_validate_json(read_text(path))
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from None
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{path} is not a setting: {error}") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise ConfigurationError(f"{path} is not a setting: {where}: {first['msg']}") from None

    def likelihoods(self) -> Likelihoods:
        """The shipped likelihoods with the setting's own in their place."""
        shipped = Likelihoods.builtin()
        return shipped.model_copy(update={"version": self.version, "signals": {**shipped.signals, **self.signals}})

    def scorer(self, base: Scorer) -> Scorer:
        """`base`, shifted towards the user's own outcomes."""
        return base if self.prior is None else ShiftedScorer(base, self.prior)


class ShiftedScorer:
    """A scorer whose four probabilities were moved to the base rates of the user's own traffic."""

    def __init__(self, base: Scorer, shift: PriorShift) -> None:
        self._base = base
        self._shift = shift

    def score(self, messages: Messages) -> Score:
        """The shifted score."""
        score = self._base.score(messages)
        belief = self._shift.apply(score.belief)
        return score.model_copy(
            update={"cells": belief.cells, "p_standard": belief.p_standard, "p_thinking": belief.p_thinking}
        )


class SettingsFolder:
    """Settings by version, one file each, and which of them is in force.

    A file is written whole and then named, so that a reader never sees half of one.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def versions(self) -> list[str]:
        """All versions, the oldest first."""
        return sorted(file.stem for file in self.path.glob("*.json"))

    def current(self) -> Setting | None:
        """The setting in force, or `None`: the shipped one.

        Raises:
            ConfigurationError: It cannot be read.
        """
        try:
            version = (self.path / _CURRENT).read_text("utf-8").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{self.path / _CURRENT} cannot be read: {error}") from None
        return None if not version else self.read(version)

    def read(self, version: str) -> Setting:
        """One setting.

        Raises:
            ConfigurationError: There is none of that version, or it cannot be read.
        """
        if version not in self.versions():
            known = ", ".join(self.versions()) or "none yet"
            raise ConfigurationError(f"there is no setting {version!r} in {self.path}; there is {known}")
        return Setting.read(self.path / f"{version}.json")

    def write(self, setting: Setting, *, use: bool = True) -> Path:
        """Keep `setting`, and put it in force unless `use` is false.

        Raises:
            ConfigurationError: It cannot be written.
        """
        file = self.path / f"{setting.version}.json"
        self._put(file, setting.model_dump_json(indent=1) + "\n")
        if use:
            self._put(self.path / _CURRENT, setting.version + "\n")
        return file

    def rollback(self, version: str | None = None) -> Setting | None:
        """Put an earlier setting in force: `version`, else the one before the current; `None`: the shipped one.

        Raises:
            ConfigurationError: There is none of that version, the shipped one is in force already, or the folder cannot
                be written to.
        """
        current = self.current()
        if version is None:
            if current is None:
                raise ConfigurationError("the shipped setting is in force; there is nothing to go back to")
            earlier = [each for each in self.versions() if each < current.version]
            version = earlier[-1] if earlier else ""
        setting = self.read(version) if version else None
        self._put(self.path / _CURRENT, version + "\n")
        return setting

    def _put(self, file: Path, text: str) -> None:
        half = file.with_name(f".{file.name}.part")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            half.write_text(text, "utf-8")
            half.replace(file)
        except OSError as error:
            raise ConfigurationError(f"{file} cannot be written: {error.strerror or error}") from None
