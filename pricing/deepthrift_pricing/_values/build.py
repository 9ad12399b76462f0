"""Objects from values that are known to be right, an order of magnitude faster than by validation."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

_Model = TypeVar("_Model", bound=BaseModel)


def build(model: type[_Model], /, **fields: Any) -> _Model:
    """A `model` with exactly these fields, unchecked and undefaulted: every field has to be given."""
    made = model.__new__(model)
    object.__setattr__(made, "__dict__", fields)
    object.__setattr__(made, "__pydantic_fields_set__", set(fields))
    object.__setattr__(made, "__pydantic_extra__", None)
    object.__setattr__(made, "__pydantic_private__", None)
    return made
