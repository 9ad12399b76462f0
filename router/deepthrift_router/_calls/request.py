"""One question to be routed, as the user gave it, and what each kind of call makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from deepthrift_router._answers.features import conversation_text
from deepthrift_router._calls.call_spec import CallSpec

if TYPE_CHECKING:
    from deepthrift import ChatOptions, HostProfile, Message, Messages
    from deepthrift.shared.calls import Conversations
    from deepthrift.shared.structured import Target
    from deepthrift_pricing import Mode, Purpose

SAMPLE_TEMPERATURE: Final = 0.7
"""Temperature of a further sample when the first was asked for without any: the same answer twice would say nothing."""
_OF_THE_ANSWER: Final = frozenset(
    {"tools", "tool_choice", "response_format", "stop", "logprobs", "top_logprobs", "temperature", "top_p", "seed"}
    | {"effort", "reasoning_budget"}
)
"""Options that shape the user's answer, and have no place in a check of it."""
_HINT: Final = (
    "The answer above is a quick draft that may be wrong. Work the question out afresh, check the draft against it, "
    "and give the final answer in full."
)


@dataclass(frozen=True, slots=True)
class Request:
    """Messages and options exactly as given; they are never shortened or changed."""

    messages: Messages
    max_tokens: int | None
    options: ChatOptions
    group_id: str
    target: Target[object] | None = None
    """The type that the answer has to fit, for `parse`."""
    prepared: Conversations = field(default_factory=dict[tuple[object, ...], object], repr=False, compare=False)
    """What the client has laid out and counted for this answer."""

    @property
    def question(self) -> str:
        """The text of the last user message."""
        return conversation_text(self.messages)

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags of this call; the client adds its own."""
        return self.options.get("tags") or {}

    def call(
        self,
        host: HostProfile,
        mode: Mode,
        purpose: Purpose = "answer",
        *,
        effort: str | int | None = None,
        hint: str | None = None,
    ) -> CallSpec:
        """The call of one tier; `hint` as for `thinking`."""
        return self.standard(host, purpose) if mode == "standard" else self.thinking(host, purpose, hint, effort)

    def standard(self, host: HostProfile, purpose: Purpose = "answer") -> CallSpec:
        """The standard call, exactly as the user asked for it."""
        return self._asked("standard", purpose, host, self.options.copy())

    def sample(
        self, host: HostProfile, number: int, mode: Mode = "standard", effort: str | int | None = None
    ) -> CallSpec:
        """The second or third sample: the same call, but free to come out differently.

        A temperature above 0, or the host's own, stays; 0 becomes 0.7. A given seed is moved on by one for each.
        """
        options = self.options.copy()
        if mode == "thinking":
            options = with_effort(self.thinking_options(host), effort)
        if options.get("temperature") == 0:
            options["temperature"] = SAMPLE_TEMPERATURE
        seed = options.get("seed")
        if seed is not None:
            options["seed"] = seed + number - 1
        return self._asked(mode, "sample", host, options)

    def thinking(
        self,
        host: HostProfile,
        purpose: Purpose = "answer",
        hint: str | None = None,
        effort: str | int | None = None,
    ) -> CallSpec:
        """The thinking call: without sampling settings that the host has no use for in that mode.

        With `hint`, the draft and a request to check it follow the messages, whose prefix stays the same.
        """
        spec = self._asked("thinking", purpose, host, with_effort(self.thinking_options(host), effort))
        if not hint:
            return spec

        messages: list[Message] = [
            *as_messages(spec.messages),
            {"role": "assistant", "content": hint},
            {"role": "user", "content": _HINT},
        ]
        return CallSpec("thinking", purpose, messages, spec.max_tokens, spec.options)

    def thinking_options(self, host: HostProfile) -> ChatOptions:
        """The user's options, as far as the host's thinking mode knows them."""
        rules = host.rules("thinking")
        usable = rules.features | frozenset(rules.ignored)
        options = self.options.copy()
        if "temperature" not in usable:
            options.pop("temperature", None)
        if "top_p" not in usable:
            options.pop("top_p", None)
        if "seed" not in usable:
            options.pop("seed", None)
        return options

    def plain_options(self) -> ChatOptions:
        """The user's options without those that shape the answer."""
        kept = {name: value for name, value in self.options.items() if name not in _OF_THE_ANSWER}
        return cast("ChatOptions", kept)

    def _asked(self, mode: Mode, purpose: Purpose, host: HostProfile, options: ChatOptions) -> CallSpec:
        if mode == "standard":
            options.pop("effort", None)
        if self.target is None:
            return CallSpec(mode, purpose, self.messages, self.max_tokens, options)
        messages, format_ = self.target.ask(self.messages, host.rules(mode).features)
        options["response_format"] = format_
        return CallSpec(mode, purpose, messages, self.max_tokens, options)


def with_effort(options: ChatOptions, effort: str | int | None) -> ChatOptions:
    """`options` with a tier's own effort, if it has one."""
    if effort is not None:
        options["effort"] = effort
    return options


def as_messages(messages: Messages) -> list[Message]:
    """`messages` as a list; a string is one user message."""
    return [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
