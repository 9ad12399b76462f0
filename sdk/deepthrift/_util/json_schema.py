"""JSON schemas as they are sent to a model."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema


class WithoutTitles(GenerateJsonSchema):
    """Titles repeat the names in other words and cost prompt tokens in every call."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False
