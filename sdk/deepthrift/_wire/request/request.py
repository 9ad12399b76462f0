"""One request: checked against what the host can do, and written as the bytes that go over the wire."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, cast

from deepthrift._types.errors import InvalidRequestError, UnsupportedFeature
from deepthrift._types.messages import JSONObject
from deepthrift._types.options import Options
from deepthrift._wire.request.begun import COMPLETIONS, as_prompt
from deepthrift._wire.request.conversation import WireMessage
from deepthrift._wire.request.efforts import check_extra_body, effort_name, with_effort
from deepthrift._wire.request.server_tools import (
    check_server_tool,
    functions_of,
    is_server_tool,
    on_the_wire,
    request_bounds,
)
from deepthrift._wire.request.service_tiers import check_tier, tier_form, tier_of
from deepthrift.hosts import Feature, HostProfile
from deepthrift_pricing import Mode

Body: TypeAlias = dict[str, object]

CHAT: Final = "/chat/completions"
_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class WireRequest:
    """What one attempt sends."""

    body: bytes
    headers: Mapping[str, str]
    model: str
    mode: Mode
    stream: bool
    messages: Sequence[WireMessage]
    max_tokens: int
    """The most completion tokens that may be billed, whether or not the request says so."""
    path: str = CHAT
    beside: bool = False
    """Whether the path is below the base URL without its `/v1`."""
    service_tier: str | None = None
    """The service tier whose price is reserved; `None` is the usual one."""
    effort: str | None = None
    """The level of thinking, or the number of tokens that limits it; `None` is the host's default."""
    requests: Mapping[str, int] = field(default_factory=dict[str, int])
    """The most requests of each kind that the host's own tools may make."""


def settled(options: Options, profile: HostProfile, model: str) -> tuple[Options, tuple[str, ...]]:
    """`options` as they are sent, and warnings about them: in standard mode, where thinking cannot do what is asked and
    the call says to downgrade; with the effort as the host names it.

    Raises:
        InvalidRequestError: A value is out of range.
        UnsupportedFeature: The mode or the host cannot do it.
    """
    try:
        ready, notes = with_effort(options, profile, model)
        return ready, (*notes, *check_options(ready, profile))
    except UnsupportedFeature as error:
        if options.on_unsupported != "downgrade" or options.mode != "thinking":
            raise
        standard = replace(options, mode="standard", effort=None)
        warnings = check_options(standard, profile)
        return standard, (f"standard mode ran instead of thinking: {error.message}", *warnings)


def check_options(options: Options, profile: HostProfile) -> tuple[str, ...]:
    """Whether the host can do in this mode what was asked; returns warnings about what has no effect.

    Raises:
        InvalidRequestError: A value is out of range.
        UnsupportedFeature: The mode or the host cannot do it.
    """
    _range("temperature", options.temperature, 0, 2)
    _range("top_p", options.top_p, 0, 1)
    _whole("max_tokens", options.max_tokens, 1, None)
    _whole("top_logprobs", options.top_logprobs, 0, 20)
    _whole("seed", options.seed, None, None)
    _whole("reasoning_budget", options.reasoning_budget, 0, None)
    _whole("max_retries", options.max_retries, 0, None)
    check_headers(options.extra_headers)
    for name in ("timeout", "idle_timeout", "deadline"):
        value = getattr(options, name)
        if value is not None and not (isinstance(value, int | float) and value > 0):
            raise InvalidRequestError(f"{name} is a positive number of seconds, not {value!r}")
    _check_stop(options.stop)
    _check_tools(options, profile)
    check_tier(options, profile)
    if options.effort is not None and options.mode == "standard":
        raise InvalidRequestError(f"effort={options.effort!r} needs mode='thinking'; standard mode doesn't think")
    rules = profile.rules(options.mode)
    if options.mode == "thinking" and profile.dialect == "none" and profile.two_pass is None and rules.switch is None:
        raise UnsupportedFeature(f"{profile.name!r} has no thinking mode; use mode='standard'")
    if options.reasoning_budget is not None and profile.reasoning_budget_field is None and profile.two_pass is None:
        raise UnsupportedFeature(
            f"{profile.name!r} cannot limit the tokens of reasoning, so reasoning_budget cannot be used; max_tokens "
            "limits reasoning and answer together"
        )
    for feature in _features(options):
        if feature in rules.features or feature in rules.ignored:
            continue
        other: Mode = "standard" if options.mode == "thinking" else "thinking"
        elsewhere = feature in profile.rules(other).features
        if profile.name == _EMBEDDED and feature in ("tools", "forced_tool_choice") and not elsewhere:
            raise UnsupportedFeature(
                f"{_NAMES.get(feature, feature)} cannot be used with the model {profile.model!r} on the embedded "
                "engine: this model does not call tools. Run one that does, such as qwen3-0.6b; "
                "`deepthrift models choices` lists more"
            )
        advice = f"; the {other} mode can" if elsewhere else ""
        raise UnsupportedFeature(
            f"{_NAMES.get(feature, feature)} cannot be used in {options.mode} mode on {profile.name!r}{advice}"
        )
    limit = rules.max_tokens_limit
    warnings = [
        f"{name} has no effect in {options.mode} mode on {profile.name!r}"
        for name in _ineffective(options, rules.ignored)
    ]
    if options.mode == "thinking" and profile.dialect == "undocumented" and rules.switch is None:
        warnings.append(
            f"{profile.name!r} documents no switch for the thinking mode, so nothing was sent for it; pass the switch "
            "in extra_body, or find it with `deepthrift doctor --probe`"
        )
    if "strict_tools" not in rules.features and any(map(_is_strict, options.tools or ())):
        warnings.append(f"strict mode of tools is not known of {profile.name!r}, so it was not asked for")
    if limit is not None and options.max_tokens is not None and options.max_tokens > limit:
        where = f"in {options.mode} mode on {profile.name!r}"
        told = f"max_tokens={options.max_tokens:,} is above the limit of {limit:,} {where}"
        if profile.over_limit == "refuse":
            raise InvalidRequestError(f"{told}; lower it")
        warnings.append(f"{told}; the limit was sent")
    return tuple(warnings)


_EMBEDDED: Final = "local"
"""The profile of the embedded engine, where the model decides what can be done, not the host."""
_NAMES: Final[Mapping[str, str]] = {
    "forced_tool_choice": "a forced tool_choice",
    "json_object": "response_format json_object",
    "json_schema": "response_format json_schema",
    "prefix": "an answer to be continued ('prefix': True)",
}


def _ineffective(options: Options, ignored: Sequence[str]) -> list[str]:
    return [name for name in ignored if getattr(options, name, None) is not None]


def _features(options: Options) -> list[Feature]:
    found: list[Feature] = []
    if functions_of(options.tools):
        found.append("tools")
    if options.tool_choice is not None and options.tool_choice not in ("auto", "none"):
        found.append("forced_tool_choice")
    if options.logprobs or options.top_logprobs is not None:
        found.append("logprobs")
    if options.response_format is not None:
        kind = options.response_format.get("type")
        if kind in ("json_object", "json_schema"):
            found.append(kind)
        elif kind != "text":
            raise InvalidRequestError(f"response_format has the type {kind!r}; use text, json_object or json_schema")
    if options.seed is not None:
        found.append("seed")
    if options.temperature is not None:
        found.append("temperature")
    if options.top_p is not None:
        found.append("top_p")
    given = cast("object", options.messages)  # not checked yet
    last = cast("object", given[-1]) if isinstance(given, Sequence) and given else None
    if isinstance(last, Mapping) and cast("Mapping[str, object]", last).get("prefix"):
        found.append("prefix")
    return found


_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING: Final = frozenset({"content-length", "transfer-encoding", "host"})


def check_headers(headers: Mapping[str, str] | None) -> None:
    """Nothing, if a request can carry `headers`. What they hold is a secret, so no error quotes it.

    Raises:
        InvalidRequestError: It cannot.
    """
    for name, value in cast("Mapping[object, object]", headers or {}).items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise InvalidRequestError(f"extra_headers: {name!r} is not the name of a header")
        if name.lower() in _FRAMING:
            raise InvalidRequestError(f"extra_headers: {name!r} is set by the client itself")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise InvalidRequestError(f"extra_headers: the value of {name!r} is not printable ASCII text")


def lowered(headers: Mapping[str, str] | None) -> dict[str, str]:
    """`headers` with their names in lower case, so that one replaces another of the same name."""
    return {name.lower(): value for name, value in (headers or {}).items()}


def _range(name: str, given: object, least: float, most: float) -> None:
    if given is None:
        return
    if isinstance(given, bool) or not isinstance(given, int | float) or math.isnan(given) or not least <= given <= most:
        raise InvalidRequestError(f"{name} is a number from {least} to {most}, not {given!r}")


def _whole(name: str, given: object, least: int | None, most: int | None) -> None:
    if given is None:
        return
    whole = given if isinstance(given, int) and not isinstance(given, bool) else None
    if whole is not None and (least is None or whole >= least) and (most is None or whole <= most):
        return
    bounds = "" if least is None else f" of at least {least}" if most is None else f" from {least} to {most}"
    raise InvalidRequestError(f"{name} is a whole number{bounds}, not {given!r}")


def _check_stop(stop: object) -> None:
    if stop is None or (isinstance(stop, str) and stop):
        return
    given = list(cast("Sequence[object]", stop)) if isinstance(stop, Sequence) else []
    if isinstance(stop, str) or not 1 <= len(given) <= 16 or not all(isinstance(text, str) and text for text in given):
        raise InvalidRequestError("stop is a string or a list of 1 to 16 strings, none of them empty")


def _check_tools(options: Options, profile: HostProfile) -> None:
    if options.tool_choice is not None and options.tool_choice != "none" and not options.tools:
        raise InvalidRequestError("tool_choice needs tools")
    tools: object = options.tools
    if tools is not None and not isinstance(tools, list | tuple):
        raise InvalidRequestError(f"tools is a list of functions in the OpenAI shape, not {type(tools).__name__}")
    for place, tool in enumerate(options.tools or ()):
        if not isinstance(tool, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidRequestError(f"tools[{place}] is a function in the OpenAI shape, not {type(tool).__name__}")
        if is_server_tool(tool):
            check_server_tool(place, tool, profile)
            continue
        function = tool.get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
            raise InvalidRequestError(
                f"tools[{place}] needs {{'type': 'function', 'function': {{'name': …}}}} with a name of letters, "
                f"digits, '_' and '-', at most 64, not {name!r}"
            )
    if options.tools and len(options.tools) > 128:
        raise InvalidRequestError(f"{len(options.tools)} tools are too many; V3.1 takes 128")


def build_request(
    options: Options,
    profile: HostProfile,
    *,
    model: str,
    messages: Sequence[WireMessage],
    max_tokens: int,
    send_max_tokens: bool,
    stream: bool,
    extra_body: Mapping[str, object],
) -> WireRequest:
    """The request for one attempt.

    Raises:
        InvalidRequestError: Something in it cannot be written as JSON.
    """
    mode = options.mode
    switch = profile.switch(mode)
    name = profile.model_for(mode, model)
    body: Body = {**profile.defaults, "model": name, "messages": list(messages)}
    begun = bool(messages) and bool(messages[-1].get("prefix"))
    if begun and profile.prefix_form in ("continue_final_message", "last_message"):
        last = {key: value for key, value in messages[-1].items() if key != "prefix"}
        body["messages"] = [*messages[:-1], last]
        if profile.prefix_form == "continue_final_message":
            body |= {"continue_final_message": True, "add_generation_prompt": False}
    if stream:
        body["stream"] = True
        if profile.stream_usage:
            body["stream_options"] = {"include_usage": True}
    else:
        body["stream"] = False
    if send_max_tokens:
        body[profile.max_tokens_field] = max_tokens
    for key in ("temperature", "top_p", "stop", "seed", "tool_choice", "response_format", "top_logprobs"):
        value = getattr(options, key)
        if value is not None:
            body[key] = value
    if profile.schema_field is not None and (schema := _schema_of(options.response_format)) is not None:
        del body["response_format"]
        body[profile.schema_field] = schema
    if options.reasoning_budget is not None and profile.reasoning_budget_field is not None and mode == "thinking":
        body[profile.reasoning_budget_field] = options.reasoning_budget
    beta = begun
    path = CHAT
    if options.tools:
        strict = "strict_tools" in profile.rules(mode).features
        sent = [on_the_wire(tool, profile) for tool in options.tools]
        body["tools"] = [tool if strict or not _is_strict(tool) else _not_strict(tool) for tool in sent]
        beta = beta or (strict and any(map(_is_strict, options.tools)))
    if options.logprobs or options.top_logprobs is not None:
        body["logprobs"] = True
    tier = tier_form(options, profile)
    body |= tier.body
    efforts = profile.efforts_for(model)
    level = options.effort if mode == "thinking" and efforts is not None else None
    deep = efforts.body(level) if efforts is not None and isinstance(level, str) else {}
    check_extra_body(options, extra_body)
    limited = options.reasoning_budget is not None and mode == "thinking"
    chat_only = (options.tools, options.response_format, limited)
    if begun and profile.prefix_form == "prompt" and not any(chat_only):
        path = COMPLETIONS
        body = as_prompt(body, messages, mode=mode)
    return WireRequest(
        body=written(body, profile.body, switch.body, deep, extra_body, options.extra_body),
        headers={
            **lowered(profile.headers),
            **lowered(switch.headers),
            **tier.headers,
            **lowered(options.extra_headers),
        },
        model=name,
        mode=mode,
        stream=stream,
        messages=messages,
        max_tokens=max_tokens,
        path=f"{profile.beta_path or ''}{path}" if beta else path,
        beside=beta and profile.beta_path is not None,
        service_tier=tier_of(options, profile, extra_body),
        effort=effort_name(options),
        requests=request_bounds(options.tools, profile),
    )


def _schema_of(form: JSONObject | None) -> object:
    """The JSON schema in a `response_format`, or `None`."""
    held = form.get("json_schema") if form is not None else None
    return held.get("schema") if isinstance(held, Mapping) else None


def _is_strict(tool: JSONObject) -> bool:
    function = tool.get("function")
    return isinstance(function, Mapping) and bool(function.get("strict"))


def _not_strict(tool: JSONObject) -> JSONObject:
    function = cast("JSONObject", tool["function"])
    return {**tool, "function": {key: value for key, value in function.items() if key != "strict"}}


def written(body: Body, *extras: Mapping[str, object] | None) -> bytes:
    """`body` with `extras` laid over it, as JSON.

    Raises:
        InvalidRequestError: Something in it cannot be written as JSON.
    """
    for extra in extras:
        _merge(body, extra or {})
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the request cannot be written as JSON: {error}") from None


def _merge(body: Body, extra: Mapping[str, object]) -> None:
    """Lay `extra` over `body`; objects in both are merged, anything else in `extra` wins."""
    for key, value in extra.items():
        held = body.get(key)
        if isinstance(held, Mapping) and isinstance(value, Mapping):
            body[key] = {**cast("Mapping[str, object]", held), **value}
        else:
            body[key] = value
