"""The wire forms in which endpoints switch the thinking mode on and off."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, JsonValue

from deepthrift_pricing import Mode

Dialect: TypeAlias = Literal[
    "ctk_both",
    "ctk_thinking",
    "effort",
    "enable_thinking",
    "header",
    "model_name",
    "model_suffix",
    "native_think",
    "none",
    "reasoning_object",
    "thinking_type",
    "undocumented",
]
"""How a host is told which mode to run. `none` hosts run one mode only, or thinking in two passes. For `undocumented`
ones nothing is sent, and the check of the mode that ran tells what came of it."""


class Switch(BaseModel):
    """What a request carries to run one mode."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    body: dict[str, JsonValue] = {}
    """Fields merged into the request's body."""
    headers: dict[str, str] = {}
    model: str | None = None
    """The model's name in this mode, in place of the client's."""
    model_suffix: str = ""
    """Text appended to the model's name in this mode."""


def _kwargs(**fields: JsonValue) -> Switch:
    return Switch(body={"chat_template_kwargs": fields})


@cache
def _forms() -> Mapping[Dialect, tuple[Switch, Switch]]:
    """The switches of each dialect, thinking first; made on first use, to keep the import short."""
    return {
        "none": (Switch(), Switch()),
        "undocumented": (Switch(), Switch()),
        "ctk_both": (
            _kwargs(thinking=True, enable_thinking=True),
            _kwargs(thinking=False, enable_thinking=False),
        ),
        "ctk_thinking": (_kwargs(thinking=True), _kwargs(thinking=False)),
        "effort": (Switch(body={"reasoning_effort": "high"}), Switch(body={"reasoning_effort": "none"})),
        "enable_thinking": (Switch(body={"enable_thinking": True}), Switch(body={"enable_thinking": False})),
        "header": (Switch(headers={"X-Enable-Thinking": "true"}), Switch(headers={"X-Enable-Thinking": "false"})),
        "model_name": (Switch(model="deepseek-reasoner"), Switch(model="deepseek-chat")),
        "model_suffix": (Switch(model_suffix=":thinking"), Switch()),
        "native_think": (Switch(body={"think": True}), Switch(body={"think": False})),
        "reasoning_object": (
            Switch(body={"reasoning": {"enabled": True}}),
            Switch(body={"reasoning": {"enabled": False}}),
        ),
        "thinking_type": (
            Switch(body={"thinking": {"type": "enabled"}}),
            Switch(body={"thinking": {"type": "disabled"}}),
        ),
    }


def switch_for(dialect: Dialect, mode: Mode) -> Switch:
    """What `dialect` sends for `mode`. The off form is explicit too: hosts differ in what they do when told nothing."""
    on, off = _forms()[dialect]
    return on if mode == "thinking" else off
