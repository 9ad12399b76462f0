"""A host's batch as the host tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

NativeState: TypeAlias = (
    Literal["validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"]
    | str
)
"""Where a host's batch stands. Open: hosts invent more."""

ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})


class RequestCounts(BaseModel):
    """How many requests of a host's batch are through."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    total: int = 0
    completed: int = 0
    failed: int = 0


class NativeBatch(BaseModel):
    """A batch as the host tells of it."""

    model_config = ConfigDict(frozen=True, defer_build=True, populate_by_name=True)

    id: str
    state: NativeState = Field(validation_alias="status")
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    counts: RequestCounts = Field(default=RequestCounts(), validation_alias="request_counts")
    problems: tuple[str, ...] = Field(default=(), validation_alias="errors")
    """Why the host refused the file, if it did."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ENDED

    @model_validator(mode="before")
    @classmethod
    def _unwrap(cls, value: object) -> object:
        """Some hosts put it below `job`."""
        if isinstance(value, Mapping):
            fields = cast("Mapping[str, object]", value)
            if "id" not in fields and "job" in fields:
                return fields["job"]
            return fields
        return value

    @field_validator("state", mode="after")
    @classmethod
    def _lower(cls, value: str) -> str:
        return value.lower()

    @field_validator("counts", mode="before")
    @classmethod
    def _counts(cls, value: object) -> object:
        return {} if value is None else value

    @field_validator("problems", mode="before")
    @classmethod
    def _problems(cls, value: object) -> object:
        if isinstance(value, Mapping):
            value = cast("Mapping[str, object]", value).get("data")
        if not isinstance(value, list):
            return ()
        told: list[str] = []
        for each in cast("list[object]", value):
            if isinstance(each, Mapping):
                error = cast("Mapping[str, object]", each)
                line = error.get("line")
                told.append(f"{'' if line is None else f'line {line}: '}{error.get('message') or error.get('code')}")
        return tuple(told)
