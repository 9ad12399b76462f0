"""The wire fixture of a host: what it is sent in each mode, how it answers, and what its tests expect.

Everything here follows from the host's TOML file. `make hosts` writes the fixtures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from deepthrift._types.options import Options
from deepthrift._wire.request.conversation import wire_messages
from deepthrift._wire.request.request import build_request
from deepthrift.hosts import Dialect, HostProfile
from deepthrift.hosts._catalog import GENERIC
from deepthrift_pricing import Mode

MODES: Final[tuple[Mode, ...]] = ("standard", "thinking")
SERVER_DIALECTS: Final[Mapping[Dialect, str | None]] = {
    "ctk_both": "template-both",
    "ctk_thinking": "template-thinking",
    "effort": "effort",
    "enable_thinking": "enable-thinking",
    "header": "header",
    "model_name": "model-name",
    "model_suffix": "model-suffix",
    "native_think": None,
    "none": None,
    "reasoning_object": "reasoning-object",
    "thinking_type": "thinking-type",
    "undocumented": None,
}
"""The switch that the tests' server reads for each dialect."""
_PROMPT, _CACHED = 11, 3
_TEXT: Final = ("Par", "is.")
_REASONING: Final = ("France is ", "asked for.")


def request_of(profile: HostProfile, mode: Mode, *, stream: bool) -> dict[str, Any]:
    """What a small call sends: model, headers and body."""
    built = build_request(
        Options(messages="Hi", mode=mode),
        profile,
        model=profile.model or "some-model",
        messages=wire_messages("Hi", profile),
        max_tokens=50,
        send_max_tokens=True,
        stream=stream,
        extra_body={},
    )
    return {"model": built.model, "headers": dict(built.headers), "body": json.loads(built.body)}


def fixture(profile: HostProfile) -> dict[str, Any]:
    """Everything that a host's tests need. A profile that thinks in two passes has no answers of its own."""
    parts: dict[str, Any] = {} if profile.two_pass is not None else {"row": row(profile)}
    for mode in MODES:
        parts[mode] = request_of(profile, mode, stream=False)
        parts[f"{mode}, streamed"] = request_of(profile, mode, stream=True)
    if profile.two_pass is None:
        for mode in MODES if SERVER_DIALECTS[profile.dialect] else MODES[:1]:
            model = parts[mode]["model"]
            parts[f"{mode} answer"] = answer(profile, mode, model)
            parts[f"{mode} stream"] = [line for event in stream(profile, mode, model) for line in (event, "")]
    return parts


def row(profile: HostProfile) -> dict[str, Any]:
    """What the tests of a host expect of it, and how the tests' server has to behave."""
    dialect = SERVER_DIALECTS[profile.dialect]
    off = profile.switch("standard")
    explicit = dialect is not None and bool(off.body or off.headers)
    return {
        "dialect": dialect,
        # The harder case: a host that thinks unless it is told not to. Without an explicit off form it cannot be tried.
        "default": "thinking" if explicit else "standard",
        "reasoning": profile.reasoning_fields[0],
        "usage": _served_usage(profile),
        "context": profile.context,
        "limits": [profile.rules(mode).max_tokens_limit for mode in MODES],
        "urls": list(_urls(profile)),
    }


def _served_usage(profile: HostProfile) -> str:
    if profile.cached_tokens == "none":
        return "bare"
    return "openai" if profile.answers.usage == "plain" else profile.answers.usage


def _urls(profile: HostProfile) -> Iterator[str]:
    """Addresses that belong to the host."""
    for host in profile.url_hosts:
        yield f"https://{'mine' if host.startswith('.') else ''}{host.replace('*', 'us-west-2')}/v1"
    for port in profile.ports:
        yield f"http://gpu-box:{port}/v1"
    if profile.name == GENERIC:
        yield "https://llm.example/v1"


def answer(profile: HostProfile, mode: Mode, model: str) -> dict[str, Any]:
    """A plain answer in the host's form."""
    field = profile.reasoning_fields[0]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(_TEXT)}
    if mode == "thinking":
        message |= _reasoning(profile, "".join(_REASONING))
    elif field == "reasoning_content":
        message[field] = None
    return {
        **_head(profile, model),
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        **usage(profile, mode),
    }


def stream(profile: HostProfile, mode: Mode, model: str) -> Iterator[str]:
    """The events of the same answer as a stream."""
    form = profile.answers
    counted = usage(profile, mode)
    every = counted if form.usage_chunk == "every" else {}

    def event(delta: Mapping[str, Any] | None, finish: str | None = None, more: Mapping[str, Any] = every) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        head = {**_head(profile, model), "object": "chat.completion.chunk"}
        return f"data: {json.dumps({**head, 'choices': [] if delta is None else [choice], **more})}"

    if form.comment is not None:
        yield f": {form.comment}"
    opening = {"role": "assistant", "content": ""}
    yield event(opening)
    null_content = {"content": None} if profile.reasoning_fields[0] == "reasoning_content" else {}
    null_reasoning = {"reasoning_content": None} if form.null_reasoning else {}
    for piece in _REASONING if mode == "thinking" else ():
        yield event({**_reasoning(profile, piece), **null_content})
    for piece in _TEXT:
        yield event({"content": piece, **null_reasoning})
    if form.usage_chunk == "finish":
        yield event({"content": "", **null_reasoning}, "stop", counted)
    else:
        yield event({}, "stop")
        yield event(opening if form.usage_chunk == "with_choice" else None, more=counted)
    yield "data: [DONE]"


def _head(profile: HostProfile, model: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "created": 1756000000, "model": model, **profile.answers.fields}


def _reasoning(profile: HostProfile, text: str) -> dict[str, Any]:
    parts: dict[str, Any] = {profile.reasoning_fields[0]: text}
    if profile.answers.reasoning_details:
        parts["reasoning_details"] = [{"type": "reasoning.text", "text": text, "index": 0}]
    return parts


def usage(profile: HostProfile, mode: Mode) -> dict[str, Any]:
    """The usage of the answer in the host's shape, and what comes with it."""
    shape, reasoning = profile.answers.usage, 4 if mode == "thinking" else 0
    completion = 2 + reasoning
    counts: dict[str, Any] = {
        "prompt_tokens": _PROMPT,
        "completion_tokens": completion,
        "total_tokens": _PROMPT + completion,
    }
    if shape == "deepseek":
        counts |= {"prompt_cache_hit_tokens": _CACHED, "prompt_cache_miss_tokens": _PROMPT - _CACHED}
    if profile.cached_tokens != "none":
        counts["prompt_tokens_details"] = {"cached_tokens": _CACHED}
    if profile.cached_tokens == "none":
        pass
    elif shape in ("openai", "deepseek"):
        counts["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    elif shape == "sglang":
        counts["reasoning_tokens"] = reasoning
    return {"usage": counts, **profile.answers.usage_fields}
