"""The body of a chat request in openai's shape, read as a routed call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Final, cast

from deepthrift import Message
from deepthrift.errors import InvalidRequestError
from deepthrift_pricing import new_id
from deepthrift_router._decide.preferences import Preferences, RouteOptions
from deepthrift_router._record.decision import RoutePolicy

ROUTED: Final = ("auto", "deepseek-v3.1")
"""Model names that stand for the endpoint's own model, in whichever mode pays."""
_BY_MODEL: Final[Mapping[str, RoutePolicy]] = {"deepseek-chat": "standard", "deepseek-reasoner": "thinking"}
ALIASES: Final = (*ROUTED, *_BY_MODEL)

_PLAIN: Final = (
    "temperature", "top_p", "stop", "seed", "tools", "tool_choice", "response_format", "logprobs", "top_logprobs",
    "service_tier",
)  # fmt: skip
_OURS: Final = frozenset(
    {
        "policy",
        "value_of_right_answer",
        "max_cost",
        "deadline",
        "tags",
        "group_id",
        "regions",
        "reasoning_budget",
        "effort",
    }
    | {"on_unsupported", "prefix", "idle_timeout", "retry_unanswered", "stop_beyond_max_tokens"}
)
_PREFERENCES: Final = frozenset(each.name for each in fields(Preferences))
_OFF: Final = ("none", "minimal")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request, ready to be routed."""

    model: str
    messages: list[Message]
    max_tokens: int | None
    options: RouteOptions
    n: int
    stream: bool
    include_usage: bool


def read_request(content: bytes) -> ChatRequest:
    """The request in a body.

    Raises:
        InvalidRequestError: It is not one that can be routed.
    """
    body = cast("dict[str, object]", json.loads(content))
    model = str(body.pop("model", ROUTED[0]))
    options: dict[str, object] = {name: body.pop(name) for name in _PLAIN if name in body}
    policy, effort = _depth(body)
    policy = policy or _BY_MODEL.get(model)
    if policy is not None:
        options["policy"] = policy
    if effort is not None:  # the same request has to run on hosts with other levels, or with none
        options |= {"effort": effort, "on_unsupported": "omit"}
    options["tags"] = _tags(body)
    options["group_id"] = new_id("group")
    _take_ours(body.pop("deepthrift", None), options)
    limit = body.pop("max_completion_tokens", None)
    old_limit = body.pop("max_tokens", None)
    n, stream = body.pop("n", None), bool(body.pop("stream", False))
    stream_options = _mapping(body.pop("stream_options", None), "stream_options")
    messages = _messages(body.pop("messages", None))
    if body:  # what the host knows and we do not
        options["extra_body"] = body
    if n is not None and (not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= 128):
        raise InvalidRequestError(f"n is a number of answers from 1 to 128, not {n!r}")
    if stream and n not in (None, 1):
        raise InvalidRequestError("a stream has one answer; ask for several without stream=True")
    return ChatRequest(
        model=model,
        messages=messages,
        max_tokens=cast("int | None", old_limit if limit is None else limit),
        options=cast("RouteOptions", options),
        n=n or 1,
        stream=stream,
        include_usage=bool(stream_options.get("include_usage")),
    )


def _depth(body: dict[str, object]) -> tuple[RoutePolicy | None, object]:
    """The mode that the request insists on, and the effort, in any of the forms in which endpoints are told."""
    policy: RoutePolicy | None = None
    effort: object = body.pop("reasoning_effort", None)
    config = body.get("output_config")
    if isinstance(config, Mapping) and "effort" in config:
        others = {**cast("Mapping[str, object]", body.pop("output_config"))}
        effort = others.pop("effort")
        if others:
            body["output_config"] = others
    template = body.get("chat_template_kwargs")
    others = {**cast("Mapping[str, object]", template)} if isinstance(template, Mapping) else {}
    effort = others.pop("reasoning_effort", None) if effort is None else effort
    if effort is not None:
        policy = "standard" if effort in _OFF else "thinking"
    thinking = body.get("thinking")
    if isinstance(thinking, Mapping) and "type" in thinking:
        form = cast("Mapping[str, object]", body.pop("thinking"))
        policy = "thinking" if form["type"] in ("enabled", "adaptive") else "standard"
        effort = form.get("budget_tokens") if effort is None else effort
    for name in ("thinking", "enable_thinking"):
        if name in others:
            policy = "thinking" if others.pop(name) else "standard"
    if isinstance(template, Mapping):
        body.pop("chat_template_kwargs")
        if others:
            body["chat_template_kwargs"] = others
    return policy, effort if policy == "thinking" else None


def _tags(body: dict[str, object]) -> dict[str, str]:
    """`metadata` and `user` label attempts in the ledger; they are not sent."""
    tags = {str(name): str(value) for name, value in _mapping(body.pop("metadata", None), "metadata").items()}
    user = body.pop("user", None)
    return tags if user is None else {**tags, "user": str(user)}


def _take_ours(extra: object, options: dict[str, object]) -> None:
    """Options of a routed call that openai has no word for, from `extra_body={"deepthrift": {…}}`."""
    preferences: dict[str, object] = {}
    for name, value in _mapping(extra, "deepthrift").items():
        if name == "tags":
            options["tags"] = {**cast("dict[str, str]", options["tags"]), **_mapping(value, "tags")}
        elif name in _OURS:
            options[name] = value
        elif name in _PREFERENCES:
            preferences[name] = value
        else:
            known = ", ".join(sorted(_OURS | _PREFERENCES))
            raise InvalidRequestError(f"{name!r} is not an option of a routed call; use one of {known}")
    if preferences:
        options["preferences"] = cast("Callable[..., Preferences]", Preferences)(**preferences)


def _mapping(value: object, name: str) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidRequestError(f"{name} is an object, not {value!r}")
    return cast("Mapping[str, object]", value)


def _messages(value: object) -> list[Message]:
    listed = cast("list[object]", value) if isinstance(value, list) else None
    if listed is None or not all(isinstance(each, Mapping) for each in listed):
        raise InvalidRequestError("messages is a list of objects with a role and content")
    return [_message(cast("Mapping[str, object]", each)) for each in listed]


def _message(message: Mapping[str, object]) -> Message:
    """A message without the fields that openai's own answers have and that say nothing."""
    kept = {name: value for name, value in message.items() if name == "content" or value not in (None, [])}
    if kept.get("role") == "developer":
        kept["role"] = "system"
    if kept.get("role") == "assistant":
        kept.pop("parsed", None)
    return cast("Message", kept)
