"""The answer of one attempt, and what its parts say of the mode that ran and of what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deepthrift._types.reply import TokenLogprob, ToolCall
from deepthrift._wire.events.split import late_close
from deepthrift._wire.reply.ending import doubt
from deepthrift._wire.tool_calls.textcalls import CALLED, CUT_OFF, TextCalls
from deepthrift_pricing import Identity, Mode, Usage
from deepthrift_pricing.shared.bookings import UNKNOWN_IDENTITY

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, slots=True)
class Answer:
    """What one attempt said."""

    text: str
    reasoning: str | None
    mode: Mode
    """The mode that really ran."""
    finish_reason: str
    usage: Usage | None
    """As the host reported it, or `None`; `unknown` where a part of it is missing."""
    model: str | None
    response_id: str | None
    tool_calls: tuple[ToolCall, ...]
    logprobs: tuple[TokenLogprob, ...] | None
    reasoning_logprobs: tuple[TokenLogprob, ...] | None
    warnings: tuple[str, ...]
    honoured: bool
    """Whether the mode that ran is the one asked for."""
    complete: bool
    """Whether the answer came to its end."""
    identity: Identity = UNKNOWN_IDENTITY
    """The model and the fingerprint that the response names."""
    service_tier: str | None = None
    """The service tier that served it, in the host's own words."""
    cites: bool = False
    """Whether it cites what a tool of the host has found."""
    counted: int = 0
    """Completion tokens that arrived before the client ended the stream, with those of the piece that it dropped."""

    @property
    def blank(self) -> bool:
        """Whether nothing at all was said."""
        return not (self.text.strip() or self.tool_calls or (self.reasoning or "").strip())


def together(answer: Answer, further: Sequence[Answer]) -> Answer:
    """All answers of one request as one, for counting: the host reports the tokens of all of them."""
    if not further:
        return answer
    every = (answer, *further)
    return replace(
        answer,
        text=" ".join(each.text for each in every),
        reasoning=" ".join(each.reasoning or "" for each in every).strip() or None,
        tool_calls=tuple(call for each in every for call in each.tool_calls),
    )


def judge(
    draft: Answer, *, closed: bool, inline: bool, in_field: bool, calls: TextCalls, ending: str | None = None
) -> Answer:
    """`draft` with what went wrong on the way repaired, and the mode told from what came back.

    Args:
        draft: The answer as it arrived; its `mode` is the one asked for.
        closed: Whether the text had a closing tag.
        inline: Whether reasoning was taken from the text.
        in_field: Whether reasoning came in a field of its own.
        calls: Finds the tool calls that the server left as text.
        ending: The finish reason, where the host's own hides that the limit was reached.
    """
    warnings: list[str] = []
    answer = draft
    if inline and not closed and answer.complete and answer.finish_reason != "length" and not answer.text:
        answer = replace(answer, text=answer.reasoning or "", reasoning=None)
    if answer.reasoning is None and (cut := late_close(answer.text)) is not None:
        answer = replace(answer, reasoning=cut[0] or None, text=cut[1])
        warnings.append("the reasoning came inside the text, without an opening tag; it was split off at '</think>'")
    answer = _with_calls(answer, calls, ending or draft.finish_reason, warnings)
    if in_field and _mismatched(answer):
        answer = replace(answer, text=answer.reasoning or "", reasoning=None)
        warnings.append(
            "the whole answer came in the reasoning field and was taken for the answer; the server's reasoning parser "
            "does not fit V3.1 (vLLM: --reasoning-parser deepseek_v3)"
        )
    return with_doubt(_checked(answer, warnings))


def with_doubt(answer: Answer) -> Answer:
    """`answer` with a warning where its finish reason does not tell whether it is whole."""
    warning = doubt(answer.finish_reason) if answer.complete else None
    return answer if warning is None else replace(answer, warnings=(*answer.warnings, warning))


def _mismatched(answer: Answer) -> bool:
    """Standard mode, everything in the reasoning field, and not because the answer was cut."""
    return (
        answer.mode == "standard"
        and answer.complete
        and answer.finish_reason != "length"
        and not answer.text.strip()
        and not answer.tool_calls
        and bool((answer.reasoning or "").strip())
    )


def _with_calls(answer: Answer, calls: TextCalls, ending: str, warnings: list[str]) -> Answer:
    """`answer` with the tool calls that the server left as text, and with a word about those that are cut."""
    taken, notes = calls.take(answer.text, answer.reasoning or "", ending)
    warnings += notes
    host_says_cut = answer.finish_reason.lower() in CUT_OFF
    if taken is not None:
        further = calls.named(taken, answer.tool_calls)
        text, reasoning = (taken.text, answer.reasoning) if taken.kind == "text" else (answer.text, taken.text or None)
        answer = replace(answer, text=text, reasoning=reasoning, tool_calls=(*answer.tool_calls, *further))
        if answer.complete and not host_says_cut:
            answer = replace(answer, finish_reason="tool_calls")
    half = [call.name for call in answer.tool_calls if call.cut]
    if answer.complete and half:
        answer = replace(answer, finish_reason="length")
        warnings.append(
            f"the answer reached max_tokens inside the call of the tool {half[0]!r}: its arguments are incomplete, so "
            "don't run it; raise max_tokens"
        )
    elif answer.complete and answer.tool_calls and host_says_cut:
        warnings.append("the answer reached max_tokens after its tool calls; further calls may be missing")
    elif answer.finish_reason in CALLED and not answer.tool_calls:
        warnings.append("the endpoint said it called tools and sent no call; its tool parser may not fit the model")
    return answer


def _checked(answer: Answer, warnings: list[str]) -> Answer:
    """The mode that really ran, told from what came back."""
    reasoned = bool((answer.reasoning or "").strip()) or bool(answer.usage and answer.usage.reasoning_tokens)
    ran: Mode = answer.mode
    if answer.mode == "standard" and reasoned:
        ran = "thinking"
        warnings.append("standard mode was asked for and the thinking mode ran; is this the right host profile?")
    elif answer.mode == "thinking" and not reasoned and (answer.text.strip() or answer.tool_calls):
        ran = "standard"
        warnings.append(
            "the thinking mode was asked for and no reasoning came back; is this the right host profile, and does the "
            "server run with a reasoning parser?"
        )
    if answer.complete:
        if answer.mode == "thinking" and reasoned and not answer.text.strip() and not answer.tool_calls:
            warnings.append(f"the answer ended ({answer.finish_reason}) after the reasoning, without any text")
        elif not answer.text.strip() and not answer.tool_calls:
            warnings.append(f"the answer is blank ({answer.finish_reason})")
        if answer.finish_reason == "insufficient_system_resource":
            warnings.append("the endpoint ran short of resources and broke off; the answer may be cut")
    return replace(answer, mode=ran, honoured=ran == answer.mode, warnings=answer.warnings + tuple(warnings))
