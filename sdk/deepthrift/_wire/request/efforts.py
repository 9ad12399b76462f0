"""The `effort` of a call: checked against what the host has, and written in the host's form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, cast

from deepthrift._types.errors import InvalidRequestError, UnsupportedFeature
from deepthrift._types.options import Options
from deepthrift.hosts import HostProfile

_LEVEL_FIELDS: Final = (
    "reasoning_effort", "reasoning.effort", "output_config.effort", "thinking_level",
    "chat_template_kwargs.reasoning_effort",
)  # fmt: skip
"""Where hosts read a level."""
_BUDGET_FIELDS: Final = (
    "thinking_budget", "thinking_token_budget", "reasoning_budget", "reasoning_budget_tokens",
    "thinking.budget_tokens", "reasoning.max_tokens",
)  # fmt: skip
"""Where hosts read a limit of the tokens of thinking."""
_SWITCHES: Final[Mapping[str, object]] = {
    "thinking.type": "disabled",
    "enable_thinking": False,
    "think": False,
    "reasoning.enabled": False,
    "chat_template_kwargs.thinking": False,
    "chat_template_kwargs.enable_thinking": False,
}
"""Where hosts read that thinking is off."""


def with_effort(options: Options, profile: HostProfile, model: str) -> tuple[Options, tuple[str, ...]]:
    """`options` with the effort as the host names it, and warnings about one that was ignored.

    A number of tokens becomes the reasoning budget; a level of the host that means "off" becomes standard mode.

    Raises:
        InvalidRequestError: It's no effort, or it contradicts the mode, the reasoning budget or the extra body.
        UnsupportedFeature: The host doesn't have it; the message lists what it has.
    """
    effort = cast("object", options.effort)
    efforts = profile.efforts_for(model)
    if options.mode == "standard" and efforts is not None and efforts.always:
        raise UnsupportedFeature(
            f"{model!r} on {profile.name!r} thinks in every call; use mode='thinking' with an effort of "
            f"{_listed(efforts.levels)}"
        )
    if effort is None:
        return options, ()
    if isinstance(effort, bool) or not isinstance(effort, int | str) or effort == "":
        raise InvalidRequestError(f"effort is a level such as 'high', or a number of tokens, not {effort!r}")
    if isinstance(effort, str) and efforts is not None and effort in efforts.off:
        return replace(options, mode="standard", effort=None, reasoning_budget=None), ()
    if isinstance(effort, int) and effort < 1:
        raise InvalidRequestError(f"effort={effort} leaves nothing to think with; use mode='standard' instead")
    if options.mode == "standard":
        return options, ()  # which `check_options` refuses
    budget = options.reasoning_budget
    if isinstance(effort, int):
        if budget is not None and budget != effort:
            raise InvalidRequestError(
                f"effort={effort} and reasoning_budget={budget} limit the same; leave out reasoning_budget"
            )
        settled = replace(options, effort=None, reasoning_budget=effort)
        fits = profile.reasoning_budget_field is not None or profile.two_pass is not None
    else:
        level = effort if efforts is None else efforts.aliases.get(effort, effort)
        settled = replace(options, effort=level)
        fits = efforts is not None and level in efforts.levels
    if not fits:
        message = f"{profile.name!r} has no effort {effort!r} for {model!r}; {_choices(profile, model)}"
        if options.on_unsupported == "omit":
            return replace(options, effort=None), (f"{message}. It was left out",)
        raise UnsupportedFeature(message)
    check_extra_body(settled, options.extra_body or {})
    return settled, ()


def check_extra_body(options: Options, extra_body: Mapping[str, object]) -> None:
    """Nothing, if `extra_body` doesn't contradict the settled effort of `options`.

    Raises:
        InvalidRequestError: It does.
    """
    level, budget = options.effort, options.reasoning_budget
    if level is None and budget is None:
        return
    wanted = level if level is not None else budget
    for name, value in _held(extra_body, (*_LEVEL_FIELDS, *_BUDGET_FIELDS, *_SWITCHES)):
        if name in _SWITCHES:
            clash = value == _SWITCHES[name]
        else:
            same = level if name in _LEVEL_FIELDS else budget
            clash = value is not None and value != same and (level is not None or name in _BUDGET_FIELDS)
        if clash:
            raise InvalidRequestError(
                f"extra_body sets {name}={value!r}, and effort is {wanted!r}; give one of the two"
            )


def effort_name(options: Options) -> str | None:
    """The effort of a settled thinking call as the ledger names it: a level, or a number of tokens."""
    if options.mode != "thinking":
        return None
    if isinstance(options.effort, str):
        return options.effort
    return None if options.reasoning_budget is None else str(options.reasoning_budget)


def _choices(profile: HostProfile, model: str) -> str:
    """What a call can ask for instead."""
    efforts = profile.efforts_for(model)
    parts = [f"it has {_listed(efforts.levels)}"] if efforts is not None and efforts.levels else []
    if efforts is not None and efforts.off:
        parts.append(f"{_listed(efforts.off)} switches thinking off")
    if profile.reasoning_budget_field is not None or profile.two_pass is not None:
        parts.append("a number of tokens limits its thinking")
    return ", and ".join(parts) or "it has no levels: mode='thinking' thinks, mode='standard' doesn't"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names))


def _held(body: Mapping[str, object], names: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    """The fields of `names` that `body` has, with their values."""
    for name in names:
        outer, _, inner = name.partition(".")
        value = body.get(outer)
        if not inner and outer in body:
            yield name, value
        elif inner and isinstance(value, Mapping) and inner in value:
            yield name, cast("Mapping[str, object]", value)[inner]
