"""A begun answer as plain text: the prompt is rendered here, and completed, so that not a blank of the rest is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from deepthrift_pricing import Mode

COMPLETIONS: Final = "/completions"
_CHAT_ONLY: Final = ("messages", "top_logprobs", "tool_choice")


def as_prompt(
    body: Mapping[str, object],
    messages: Sequence[Mapping[str, object]],
    *,
    mode: Mode,
) -> dict[str, object]:
    """The body of a completion for that of a chat whose last message is a begun answer.

    For servers that read V3.1's special tokens in a prompt and add the begin-of-sentence mark themselves.
    """
    from deepthrift_pricing.tokens import SPECIAL_TOKENS, render

    begin = next(token for token, number in SPECIAL_TOKENS.items() if number == 0)
    made = {key: value for key, value in body.items() if key not in _CHAT_ONLY}
    made["prompt"] = render(messages, mode=mode).removeprefix(begin)
    if made.pop("logprobs", None):
        made["logprobs"] = body.get("top_logprobs") or 1
    return made
