"""What a call may be told, and the same checked and in one place."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, TypeAlias, TypedDict, cast, get_args

from deepthrift._types.errors import InvalidRequestError
from deepthrift._types.messages import AssistantMessage, JSONObject, Messages, message_list
from deepthrift_pricing import Mode, Purpose

ToolChoice: TypeAlias = Literal["auto", "none", "required"] | JSONObject
"""Whether the model may, must not or must call a tool, or the one that it must call, in the OpenAI shape."""

OnUnsupported: TypeAlias = Literal["downgrade", "omit", "raise"]
"""What becomes of a thinking call that asks for what only standard mode can do, or of an effort that a host lacks."""


class CallOptions(TypedDict, total=False):
    """The keyword arguments that every kind of call takes, beside `mode` and `max_tokens`.

    Attributes:
        temperature: 0 to 2; left out, the host's own default.
        top_p: 0 to 1; left out, the host's own default.
        stop: Text, or up to 16 texts, at which the answer ends.
        seed: For the same answer to the same request, where the host can.
        effort: How deeply to think, in thinking mode: a level of the host such as `"low"`, `"high"` or `"max"`, or the
            most tokens to think with, such as 2048. Default: the host's own. A level that the host lacks is refused
            before anything is sent, with those that it has; see docs/hosts.md.
        reasoning_budget: The most tokens of reasoning, after which the model has to answer; the embedded engine,
            llama.cpp, vLLM, DashScope and SiliconFlow can. The same as an `effort` in tokens. In standard mode there
            is nothing to limit.
        logprobs: Whether the reply has `logprobs`.
        top_logprobs: 0 to 20 alternatives for each token; switches `logprobs` on.
        service_tier: The host's service level, such as `"flex"` or `"priority"`, priced by the rows of that tier. A
            call that its host can't serve so is refused before it's sent.
        regions: The only regions to which this call may be sent, of those that the client allows.
        tags: Labels for the ledger, laid over the client's.
        timeout: Seconds that one attempt may take, instead of the client's.
        idle_timeout: Seconds that a stream may be silent, instead of the client's.
        deadline: Seconds that the whole call may take, retries and waiting included, instead of the client's.
        max_retries: Further attempts after a failure that another attempt may mend, instead of the client's.
        retry_unanswered: Whether to try again when an answer was lost that may be billed, instead of the client's.
        stop_beyond_max_tokens: Whether a stream that runs far past its `max_tokens` is ended, instead of the client's.
        purpose: Why the call is made, for the ledger.
        group_id: Joins several calls into one answer in the ledger.
        on_unsupported: What becomes of a thinking call that asks for what only standard mode can do, such as tools:
            `"raise"`, or `"downgrade"`, and standard mode runs, with a warning on the reply. With `"omit"`, an
            `effort` that the host lacks is left out, with a warning.
        extra_body: Further fields of the request; they win over everything else.
        extra_headers: Further headers of the request; they win over the client's.
    """

    temperature: float | None
    top_p: float | None
    stop: str | Sequence[str] | None
    seed: int | None
    effort: str | int | None
    reasoning_budget: int | None
    logprobs: bool | None
    top_logprobs: int | None
    service_tier: str | None
    regions: Collection[str] | None
    tags: Mapping[str, str] | None
    timeout: float | None
    idle_timeout: float | None
    deadline: float | None
    max_retries: int | None
    retry_unanswered: bool | None
    stop_beyond_max_tokens: bool | None
    purpose: Purpose
    group_id: str | None
    on_unsupported: OnUnsupported
    extra_body: JSONObject | None
    extra_headers: Mapping[str, str] | None


class ChatOptions(CallOptions, total=False):
    """The keyword arguments that `chat` and `stream` share: those of `CallOptions`, and these.

    Attributes:
        tools: Functions that the model may call, in the OpenAI shape. V3.1 calls tools in standard mode only. Tools
            that the host runs itself are named by their type, such as `{"type": "deepseek_web_search", "max_uses": 5}`.
        tool_choice: `"auto"`, `"none"`, `"required"`, or one function by name, in the OpenAI shape.
        response_format: `{"type": "json_object"}`, or a JSON schema where the host can.
        prefix: How the model's words begin: those of the answer in standard mode, those of the reasoning in thinking
            mode. The reply holds what comes after it.
    """

    tools: Sequence[JSONObject] | None
    tool_choice: ToolChoice | None
    response_format: JSONObject | None
    prefix: str | None


def chat_options(
    given: CallOptions,
    *,
    tools: Sequence[JSONObject] | None = None,
    tool_choice: ToolChoice | None = None,
    response_format: JSONObject | None = None,
) -> ChatOptions:
    """The options of a chat that has those of another kind of call."""
    options = cast("ChatOptions", dict(given))
    options["tools"] = tools
    options["tool_choice"] = tool_choice
    options["response_format"] = response_format
    return options


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Options:
    """A call as the user gave it."""

    messages: Messages
    mode: Mode = "standard"
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | Sequence[str] | None = None
    seed: int | None = None
    effort: str | int | None = None
    reasoning_budget: int | None = None
    tools: Sequence[JSONObject] | None = None
    tool_choice: ToolChoice | None = None
    response_format: JSONObject | None = None
    prefix: str | None = None
    """Part of `messages` already."""
    logprobs: bool | None = None
    top_logprobs: int | None = None
    service_tier: str | None = None
    regions: Collection[str] | None = None
    tags: Mapping[str, str] | None = None
    timeout: float | None = None
    idle_timeout: float | None = None
    deadline: float | None = None
    max_retries: int | None = None
    retry_unanswered: bool | None = None
    stop_beyond_max_tokens: bool | None = None
    purpose: Purpose = "answer"
    group_id: str | None = None
    on_unsupported: OnUnsupported = "raise"
    extra_body: JSONObject | None = None
    extra_headers: Mapping[str, str] | None = field(default=None, repr=False)
    prepared: dict[tuple[object, ...], object] | None = field(default=None, repr=False, compare=False)
    """Conversations laid out for the same answer; shared by its calls, and never given by a user."""


_KNOWN = frozenset(each.name for each in fields(Options)) - {"prepared"}


def options_of(messages: Messages, mode: Mode, max_tokens: int | None, given: ChatOptions) -> Options:
    """The options of one call.

    Raises:
        InvalidRequestError: The mode or the name of an option is unknown.
    """
    if mode not in ("standard", "thinking"):
        raise InvalidRequestError(f"{mode!r} is not a mode; use 'standard' or 'thinking'")
    for name in given:
        if name not in _KNOWN:
            near = difflib.get_close_matches(name, _KNOWN, 1)
            hint = f"; did you mean {near[0]!r}?" if near else "; fields of your host go into extra_body={…}"
            raise InvalidRequestError(f"{name!r} is not an option of a call{hint}")
    prefix = given.get("prefix")
    if prefix is not None:
        messages = _begun(messages, mode, prefix)
    purpose = given.get("purpose", "answer")
    if purpose not in get_args(Purpose):
        raise InvalidRequestError(f"{purpose!r} is not a purpose of a call; use one of {', '.join(get_args(Purpose))}")
    on_unsupported = given.get("on_unsupported", "raise")
    if on_unsupported not in get_args(OnUnsupported):
        raise InvalidRequestError(f"on_unsupported is 'raise', 'downgrade' or 'omit', not {on_unsupported!r}")
    return Options(messages=messages, mode=mode, max_tokens=max_tokens, **given)


def _begun(messages: Messages, mode: Mode, prefix: object) -> Messages:
    """`messages` with the beginning of an answer, or of its reasoning, at their end."""
    if not isinstance(prefix, str) or not prefix:
        raise InvalidRequestError(f"prefix is text with which the model's words begin, not {prefix!r}")
    begun: AssistantMessage = {"role": "assistant", "content": prefix, "prefix": True}
    if mode == "thinking":
        begun = {"role": "assistant", "content": "", "reasoning_content": prefix, "prefix": True}
    return [*message_list(messages), begun]
