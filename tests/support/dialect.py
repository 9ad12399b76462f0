"""Which mode a request asks for, in each wire form that endpoints of V3.1 use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, cast

from tests.support.bill import Mode

Dialect: TypeAlias = Literal[
    "any",
    "model-name",
    "thinking-type",
    "template-thinking",
    "template-both",
    "enable-thinking",
    "reasoning-object",
    "effort",
    "model-suffix",
    "header",
]
_FORMS: Final[tuple[Dialect, ...]] = (
    "model-name",
    "thinking-type",
    "template-both",
    "template-thinking",
    "enable-thinking",
    "reasoning-object",
    "effort",
    "model-suffix",
    "header",
)


def mode_asked(dialect: Dialect, body: Mapping[str, object], headers: Mapping[str, str]) -> Mode | None:
    """The mode that `body` and `headers` ask for in `dialect`, or `None` when they say nothing in it."""
    forms = _FORMS if dialect == "any" else (dialect,)
    for form in forms:
        thinking = _read(form, body, headers)
        if thinking is not None:
            return "thinking" if thinking else "standard"
    return None


def _read(form: Dialect, body: Mapping[str, object], headers: Mapping[str, str]) -> bool | None:
    model = str(body.get("model", ""))
    template = _object(body.get("chat_template_kwargs"))
    answer: object = None
    match form:
        case "model-name":
            answer = {"deepseek-reasoner": True, "deepseek-chat": False}.get(model)
        case "thinking-type":
            answer = {"enabled": True, "disabled": False}.get(str(_object(body.get("thinking")).get("type")))
        case "template-thinking":
            answer = template.get("thinking")
        case "template-both":
            answer = template.get("thinking") if template.get("thinking") == template.get("enable_thinking") else None
        case "enable-thinking":
            answer = body.get("enable_thinking")
        case "reasoning-object":
            answer = _object(body.get("reasoning")).get("enabled")
        case "effort":
            effort = body.get("reasoning_effort")
            answer = None if effort is None else effort != "none"
        case "model-suffix":
            answer = True if model.lower().endswith((":thinking", "-thinking", "-think")) else None
        case "header":
            value = headers.get("x-enable-thinking")
            answer = None if value is None else value.lower() == "true"
        case "any":
            pass
    return answer if isinstance(answer, bool) else None


def _object(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}
