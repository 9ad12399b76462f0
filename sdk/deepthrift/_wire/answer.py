"""The answer of one attempt, put together from its chunks and judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Final

from pydantic import JsonValue

from deepthrift._events import ReasoningDelta, StreamEvent, TextDelta, ToolCallDelta
from deepthrift._reply import TokenLogprob, ToolCall
from deepthrift._wire.chunk import Choice, Chunk, Delta, Logprob, Logprobs
from deepthrift._wire.split import Kind, Piece, ThinkSplitter, late_close
from deepthrift._wire.toolcalls import BEGIN, ToolCalls, ToolText, from_text
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Mode, Usage, parse_usage

_OUTSIDE: Final = -9999.0
"""What DeepSeek's API writes for a token outside of the 20 best (api/create-chat-completion)."""


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
    service_tier: str | None = None
    """The service tier that served it, in the host's own words."""
    cites: bool = False
    """Whether it cites what a tool of the host has found."""

    @property
    def blank(self) -> bool:
        """Whether nothing at all was said."""
        return not (self.text.strip() or self.tool_calls or (self.reasoning or "").strip())


class Accumulator:
    """Takes in the chunks of one attempt and gives out events, then the answer.

    A plain answer is one chunk whose message is a single large delta, so both ways end in the same answer.
    """

    def __init__(self, profile: HostProfile, mode: Mode, *, begun: bool = False) -> None:
        self._profile = profile
        self._mode: Mode = mode
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._tools = ToolCalls()
        self._hidden: dict[Kind, ToolText] = {"reasoning": ToolText(), "text": ToolText()}
        self._logprobs: list[TokenLogprob] = []
        self._reasoning_logprobs: list[TokenLogprob] = []
        self._saw_logprobs = False
        inline = profile.reasoning_in_text or (begun and profile.continues_in_text)
        self._split = ThinkSplitter(expected=mode == "thinking" and inline)
        self._begun = begun
        self._raw = False
        self._inline = False
        self._in_field = False
        self._usage: dict[str, JsonValue] | None = None
        self._finish: str | None = None
        self._model: str | None = None
        self._id: str | None = None
        self._tier: str | None = None
        self._cites = False
        self._chunks = 0
        self.done = False
        """Whether the end-of-stream mark has arrived."""

    @property
    def finished(self) -> bool:
        """Whether the host said why it ended, or that it ended."""
        return self.done or self._finish is not None

    @property
    def started(self) -> bool:
        """Whether any token has arrived."""
        return self._chunks > 0

    @property
    def pieces(self) -> int:
        """How many fragments with content have arrived; most hosts send one for each token."""
        return self._chunks

    @property
    def has_text(self) -> bool:
        """Whether any text has been given out."""
        return bool(self._text)

    @property
    def has_tool_calls(self) -> bool:
        """Whether any tool call has been given out."""
        return bool(self._tools)

    @property
    def has_usage(self) -> bool:
        """Whether the host has sent a usage, of whatever it may consist."""
        return bool(self._usage)

    def usage_with(self, prompt_tokens: int, completion_tokens: int) -> Usage | None:
        """The usage as the host reported it, with these counts where it has none of the prompt or of the answer."""
        return parse_usage(self._usage, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)

    def add(self, chunk: Chunk) -> list[StreamEvent]:
        """What `chunk` brings."""
        if chunk.usage:
            self._usage = chunk.usage
        self._model = chunk.model or self._model
        self._id = chunk.id or self._id
        if chunk.service_tier and isinstance(chunk.service_tier, str):
            self._tier = chunk.service_tier
        events: list[StreamEvent] = []
        for choice in chunk.choices or ():
            if choice.index == 0:
                self._choice(choice, events)
        return events

    def _choice(self, choice: Choice, events: list[StreamEvent]) -> None:
        delta = choice.delta or choice.message
        if delta is not None:
            self._delta(delta, events)
        elif choice.text is not None and self._begun:
            self._delta(Delta(content=choice.text), events)  # a chat's begun answer, completed as plain text
        elif choice.text is not None:
            self._raw = True
            self._text.append(choice.text)
            if choice.text:
                self._chunks += 1
                events.append(TextDelta(choice.text))
        if choice.logprobs is not None:
            self._add_logprobs(choice.logprobs)
        if choice.finish_reason:
            self._finish = choice.finish_reason

    def _delta(self, delta: Delta, events: list[StreamEvent]) -> None:
        reasoning = self._reasoning_of(delta)
        content = delta.content or ""
        self._cites = self._cites or bool(delta.annotations)
        if reasoning:
            self._in_field = True
            self._split.plain()
            self._reasoning.append(reasoning)
            self._show("reasoning", reasoning, events)
        if content:
            self._pieces(self._split.feed(content), events)
        for part in delta.tool_calls or ():
            index, call_id, name, arguments = self._tools.add(part)
            events.append(ToolCallDelta(index, call_id, name, arguments))
        if reasoning or content or delta.tool_calls:
            self._chunks += 1

    def _reasoning_of(self, delta: Delta) -> str:
        for field in self._profile.reasoning_fields:
            found = delta.reasoning if field == "reasoning" else delta.reasoning_content
            if found:
                return found
        for found in (delta.reasoning_content, delta.reasoning):
            if found:
                return found
        return "".join(_detail_text(detail) for detail in delta.reasoning_details or ())

    def _pieces(self, pieces: list[Piece], events: list[StreamEvent]) -> None:
        for kind, text in pieces:
            if kind == "reasoning":
                self._inline = True
                self._reasoning.append(text)
            else:
                self._text.append(text)
            self._show(kind, text, events)

    def _show(self, kind: Kind, text: str, events: list[StreamEvent]) -> None:
        """Tell of a piece, unless it is part of a tool call in V3.1's own form."""
        other: Kind = "text" if kind == "reasoning" else "reasoning"
        if self._hidden[other].holding and (shown := self._hidden[other].release()):
            events.append(ReasoningDelta(shown) if other == "reasoning" else TextDelta(shown))
        if shown := self._hidden[kind].feed(text):
            events.append(ReasoningDelta(shown) if kind == "reasoning" else TextDelta(shown))

    def _add_logprobs(self, logprobs: Logprobs) -> None:
        self._saw_logprobs = True
        self._logprobs += map(_token, logprobs.content or ())
        self._reasoning_logprobs += map(_token, logprobs.reasoning_content or ())
        self._logprobs += _side_by_side(logprobs)

    def flush(self) -> list[StreamEvent]:
        """What was held back; to be called once, at the end."""
        events: list[StreamEvent] = []
        self._pieces(self._split.flush(), events)
        both: tuple[tuple[Kind, list[str]], ...] = (("reasoning", self._reasoning), ("text", self._text))
        for kind, said in both:
            read = not self._tools and from_text("".join(said)) is not None
            shown = self._hidden[kind].release(all_of_it=not read)
            if shown:
                events.append(ReasoningDelta(shown) if kind == "reasoning" else TextDelta(shown))
        return events

    def answer(self) -> Answer:
        """What has been said so far, or all of it."""
        draft = Answer(
            text="".join(self._text),
            reasoning="".join(self._reasoning) or None,
            mode=self._mode,
            finish_reason=self._finish or ("unknown" if self.done else "incomplete"),
            usage=parse_usage(self._usage),
            model=self._model,
            response_id=self._id,
            tool_calls=self._tools.finish(),
            logprobs=tuple(self._logprobs) if self._saw_logprobs else None,
            reasoning_logprobs=tuple(self._reasoning_logprobs) or None,
            warnings=(),
            honoured=True,
            complete=self.finished,
            service_tier=self._tier,
            cites=self._cites,
        )
        if self._raw:  # plain text is what it is, whatever tags it holds
            return replace(draft, mode="standard")
        return judge(draft, closed=self._split.closed, inline=self._inline, in_field=self._in_field)


def _token(entry: Logprob) -> TokenLogprob:
    top = tuple((other.token, other.logprob) for other in entry.top_logprobs or () if other.logprob > _OUTSIDE)
    return TokenLogprob(token=entry.token, logprob=entry.logprob if entry.logprob > _OUTSIDE else None, top=top)


def _side_by_side(logprobs: Logprobs) -> list[TokenLogprob]:
    """The older form, in which a first token has none."""
    given = zip_longest(logprobs.tokens or (), logprobs.token_logprobs or (), logprobs.top_logprobs or ())
    return [
        TokenLogprob(token=token, logprob=logprob, top=tuple((best or {}).items()))
        for token, logprob, best in given
        if token is not None
    ]


def _detail_text(detail: JsonValue) -> str:
    found = detail.get("text") or detail.get("summary") if isinstance(detail, dict) else None
    return found if isinstance(found, str) else ""


def judge(draft: Answer, *, closed: bool, inline: bool, in_field: bool) -> Answer:
    """`draft` with what went wrong on the way repaired, and the mode told from what came back.

    Args:
        draft: The answer as it arrived; its `mode` is the one asked for.
        closed: Whether the text had a closing tag.
        inline: Whether reasoning was taken from the text.
        in_field: Whether reasoning came in a field of its own.
    """
    warnings: list[str] = []
    answer = draft
    if inline and not closed and answer.complete and answer.finish_reason != "length" and not answer.text:
        answer = replace(answer, text=answer.reasoning or "", reasoning=None)
    if answer.reasoning is None and (cut := late_close(answer.text)) is not None:
        answer = replace(answer, reasoning=cut[0] or None, text=cut[1])
        warnings.append("the reasoning came inside the text, without an opening tag; it was split off at '</think>'")
    answer = _tool_text(answer, warnings)
    if in_field and _mismatched(answer):
        answer = replace(answer, text=answer.reasoning or "", reasoning=None)
        warnings.append(
            "the whole answer came in the reasoning field and was taken for the answer; the server's reasoning parser "
            "does not fit V3.1 (vLLM: --reasoning-parser deepseek_v3)"
        )
    return _checked(answer, warnings)


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


def _tool_text(answer: Answer, warnings: list[str]) -> Answer:
    """Tool calls that the server left as text, in the answer or in the reasoning."""
    if answer.tool_calls:
        return answer
    for where in ("text", "reasoning"):
        held = answer.text if where == "text" else answer.reasoning or ""
        if BEGIN not in held:
            continue
        found = from_text(held)
        if found is None:
            warnings.append(f"the {where} holds V3.1's mark of a tool call, but no complete call")
            continue
        rest, calls = found
        warnings.append(
            f"{len(calls)} tool call(s) came as {where} and were read from there; "
            "the server's tool parser does not fit V3.1 (vLLM: --tool-call-parser deepseek_v31)"
        )
        changed = replace(answer, text=rest) if where == "text" else replace(answer, reasoning=rest or None)
        return replace(changed, tool_calls=calls, finish_reason="tool_calls")
    if answer.finish_reason == "tool_calls":
        warnings.append("the endpoint said it called tools and sent no call; its tool parser may not fit V3.1")
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
