"""The options of requests that are no plain chats, apart because most programs never need them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import cast

from deepthrift._types.errors import InvalidRequestError
from deepthrift._types.options import CallOptions, ChatOptions, Options, options_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CompletionOptions(Options):
    """A completion of plain text as the user gave it; it has no messages."""

    prompt: str
    suffix: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SampleOptions(Options):
    """A chat whose one request brings several answers."""

    n: int


def completion_of(prompt: str, suffix: str | None, max_tokens: int | None, given: CallOptions) -> CompletionOptions:
    """The options of one completion.

    Raises:
        InvalidRequestError: The name of an option is unknown.
    """
    known = options_of((), "standard", max_tokens, cast("ChatOptions", given))
    for name in ("tools", "tool_choice", "response_format", "prefix"):
        if getattr(known, name) is not None:
            raise InvalidRequestError(f"{name} belongs to a chat; a completion goes on from its prompt alone")
    held = {each.name: getattr(known, each.name) for each in fields(Options)}
    return CompletionOptions(**held, prompt=prompt, suffix=suffix)
