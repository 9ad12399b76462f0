"""Typed functions become the schema that the model sees, and its JSON becomes typed arguments again."""

from __future__ import annotations

import enum
import json
import re
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from deepthrift.errors import ConfigurationError
from deepthrift.tools import Tool
from deepthrift.tools._docstring import read_docstring


class Unit(enum.Enum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


class Place(BaseModel):
    city: str
    country: str = "FR"


@dataclass
class Day:
    when: date
    note: str


class Opaque: ...


def weather(place: Place, unit: Unit = Unit.CELSIUS, days: Annotated[int, Field(ge=1, le=7)] = 1) -> str:
    """Get the forecast.

    Use it for any question on the weather.

    Args:
        place: Where to look,
            city and country.
        unit (Unit): The scale.
        days: How many days ahead.

    Returns:
        A sentence.
    """
    return f"{place.city} {unit.value} {days}"


def test_the_schema_holds_types_defaults_enums_and_descriptions() -> None:
    tool = Tool.of(weather)
    assert tool.name == "weather"
    assert tool.description == "Get the forecast.\n\nUse it for any question on the weather."
    assert tool.parameters == {
        "$defs": {
            "Place": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "country": {"type": "string", "default": "FR"}},
                "required": ["city"],
                "title": "Place",
            },
            "Unit": {"enum": ["celsius", "fahrenheit"], "title": "Unit", "type": "string"},
        },
        "type": "object",
        "properties": {
            "place": {"$ref": "#/$defs/Place", "description": "Where to look, city and country."},
            "unit": {"$ref": "#/$defs/Unit", "default": "celsius", "description": "The scale."},
            "days": {
                "type": "integer",
                "minimum": 1,
                "maximum": 7,
                "default": 1,
                "description": "How many days ahead.",
            },
        },
        "required": ["place"],
        "additionalProperties": False,
    }


async def test_arguments_arrive_typed_and_defaults_are_the_functions_own() -> None:
    assert await Tool.of(weather).call('{"place": {"city": "Paris"}, "days": 2}') == "Paris celsius 2"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("{", "Invalid JSON"),
        ("[]", "object"),
        ('{"place": {"city": "Paris"}, "days": 9}', "days: Input should be less than or equal to 7"),
        ('{"place": {"city": "Paris"}, "unit": "kelvin"}', "unit: Input should be 'celsius' or 'fahrenheit'"),
        ('{"place": {"city": "Paris"}, "speed": 1}', "speed: Extra inputs are not permitted"),
        ("{}", "place: Field required"),
    ],
)
async def test_wrong_arguments_say_what_to_mend(arguments: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        await Tool.of(weather).call(arguments)


def test_strict_mode_requires_everything_and_drops_what_it_refuses() -> None:
    def book(
        title: Annotated[str, Field(min_length=1)], seats: list[Literal["a", "b"]], note: str | None = None
    ) -> None:
        """Book."""

    definition = Tool.of(book, strict=True).definition
    assert definition["function"] == {
        "name": "book",
        "description": "Book.",
        "strict": True,
        "parameters": {
            "type": "object",
            "additionalProperties": False,
            "required": ["title", "seats", "note"],
            "properties": {
                "title": {"type": "string"},
                "seats": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
        },
    }


def test_names_that_pydantic_keeps_for_itself_work() -> None:
    def find(schema: str, model_config: int, _under: bool = False) -> str:
        return f"{schema} {model_config} {_under}"

    properties = Tool.of(find).parameters["properties"]
    assert isinstance(properties, dict)
    assert set(properties) == {"schema", "model_config", "_under"}


async def test_async_functions_dataclasses_and_results_that_are_not_text() -> None:
    async def today(day: date) -> Day:
        return Day(day, "é")

    assert json.loads(await Tool.of(today).call('{"day": "2026-11-23"}')) == {"when": "2026-11-23", "note": "é"}

    def nothing() -> None:
        return None

    assert await Tool.of(nothing).call("") == "null"

    def odd() -> object:
        return object

    assert (await Tool.of(odd).call("{}")).startswith('"<class')


def test_what_the_model_cannot_call_is_refused_with_the_reason() -> None:
    def untyped(x) -> None: ...  # type: ignore[no-untyped-def]

    def positional(x: int, /) -> None: ...

    def variadic(*xs: int) -> None: ...

    def opaque(x: Opaque) -> None: ...

    for function, told in (
        (untyped, "needs a type"),
        (positional, "by name"),
        (variadic, "by name"),
        (opaque, "without a JSON form"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            Tool.of(function)
    with pytest.raises(ConfigurationError, match="cannot name a tool"):
        Tool.of(weather, name="the weather")


@pytest.mark.parametrize(
    "docstring",
    [
        "Sum.\n\nArgs:\n    a: First.\n    b (int): Second\n        line.\n\nReturns:\n    c: no.",
        "Sum.\n\nParameters\n----------\na : int\n    First.\nb\n    Second\n    line.\n\nReturns\n-------\nc : int",
        "Sum.\n\n:param a: First.\n:param int b: Second\n    line.\n:returns: c",
    ],
)
def test_the_three_docstring_styles_say_the_same(docstring: str) -> None:
    read = read_docstring(docstring)
    assert read.summary == "Sum."
    assert read.parameters == {"a": "First.", "b": "Second line."}


def test_running_text_with_a_colon_is_no_section() -> None:
    assert read_docstring("One.\n\nNote:\nthis stays.").summary == "One.\n\nNote:\nthis stays."


@given(st.text(alphabet=st.sampled_from("ab:-\n \tArgs()*"), max_size=120))
def test_no_docstring_breaks_the_reader(text: str) -> None:
    read_docstring(text)
