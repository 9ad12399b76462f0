"""One question to be routed, as the user gave it, and what each kind of call makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deepthrift_router._features import conversation_text

if TYPE_CHECKING:
    from deepthrift import ChatOptions, HostProfile, Messages

SAMPLE_TEMPERATURE: Final = 0.7
"""Temperature of a further sample when the first was asked for without any: the same answer twice would say nothing."""


@dataclass(frozen=True, slots=True)
class Request:
    """Messages and options exactly as given; they are never copied into, shortened or changed."""

    messages: Messages
    max_tokens: int | None
    options: ChatOptions
    group_id: str

    @property
    def question(self) -> str:
        """The text of the last user message."""
        return conversation_text(self.messages)

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags of this call; the client adds its own."""
        return self.options.get("tags") or {}

    def sample_options(self, number: int) -> ChatOptions:
        """Options of the second or third sample: those of the first, but free to come out differently.

        A temperature above 0, or the host's own, stays; 0 becomes 0.7. A given seed is moved on by one for each.
        """
        options = self.options.copy()
        if options.get("temperature") == 0:
            options["temperature"] = SAMPLE_TEMPERATURE
        seed = options.get("seed")
        if seed is not None:
            options["seed"] = seed + number - 1
        return options

    def thinking_options(self, host: HostProfile) -> ChatOptions:
        """Options of the thinking call: without sampling settings that the host has no use for in that mode."""
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
