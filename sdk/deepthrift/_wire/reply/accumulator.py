"""Puts an answer together from its chunks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import JsonValue

from deepthrift._types.events import ReasoningDelta, StreamEvent, TextDelta, ToolCallDelta
from deepthrift._types.reply import ToolCall
from deepthrift._wire.events.chunk import Choice, Chunk, Delta
from deepthrift._wire.events.split import Kind, Piece, ThinkSplitter
from deepthrift._wire.halves import HalfJoiner, whole
from deepthrift._wire.reply.answer import Answer, judge, with_doubt
from deepthrift._wire.reply.logprobs import LogprobReader
from deepthrift._wire.reply.usage_reports import UsageReports
from deepthrift._wire.tool_calls.callids import CallIds
from deepthrift._wire.tool_calls.hidden import ToolText
from deepthrift._wire.tool_calls.textcalls import CALLED, CUT_OFF, TextCalls, tools_in
from deepthrift._wire.tool_calls.toolcalls import ToolCalls
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Identity, Mode, Usage
from deepthrift_pricing.shared.bookings import clean

if TYPE_CHECKING:
    from deepthrift._wire.request.request import WireRequest


class Accumulator:
    """Takes in the chunks of one attempt and gives out events, then the answer.

    A plain answer is one chunk whose message is a single large delta, so both ways end in the same answer.
    """

    def __init__(
        self,
        profile: HostProfile,
        mode: Mode,
        *,
        begun: bool = False,
        request: WireRequest | None = None,
        choice: int = 0,
    ) -> None:
        self._profile = profile
        self._mode: Mode = mode
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._request = request
        self._ids = CallIds() if request is None else CallIds(request.body, request.messages, choice=choice)
        self._tools = ToolCalls(self._ids)
        self._text_calls = TextCalls(self._ids, lambda: None if request is None else tools_in(request.body))
        self._hidden: dict[Kind, ToolText] = {"reasoning": ToolText(), "text": ToolText()}
        self._logprobs = LogprobReader()
        self._argument_halves: dict[int, HalfJoiner] = {}
        self._halves: dict[Kind, HalfJoiner] = {"reasoning": HalfJoiner(), "text": HalfJoiner()}
        inline = profile.reasoning_in_text or (begun and profile.continues_in_text)
        self._split = ThinkSplitter(expected=mode == "thinking" and inline)
        self._begun = begun
        self._raw = False
        self._inline = False
        self._in_field = False
        self._usage = UsageReports()
        self._finish: str | None = None
        self._model: str | None = None
        self._id: str | None = None
        self._fingerprint: object = None
        self._tier: str | None = None
        self._cites = False
        self._chunks = 0
        self._cut: str | None = None
        self._counted = 0
        self.done = False
        """Whether the end-of-stream mark has arrived."""

    def cut_at_limit(self, warning: str, tokens: int) -> None:
        """Ends the answer here as if `max_tokens` had ended it; `tokens` have arrived."""
        self._finish = "length"
        self._counted = tokens
        self._cut = warning
        self.done = True

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
    def tool_calls_told(self) -> int:
        """How many tool calls have been given out as events."""
        return len(self._tools)

    @property
    def has_usage(self) -> bool:
        """Whether the host has sent a usage, of whatever it may consist."""
        return bool(self._usage)

    def usage_with(self, prompt_tokens: int, completion_tokens: int) -> Usage | None:
        """The usage as the host reported it, with these counts where it has none of the prompt or of the answer."""
        return self._usage.parse(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)

    def add(self, chunk: Chunk) -> list[StreamEvent]:
        """What `chunk` brings."""
        self._usage.take(chunk)
        self._model = whole(chunk.model or "") or self._model
        self._id = whole(chunk.id or "") or self._id
        self._fingerprint = chunk.system_fingerprint or self._fingerprint
        if chunk.service_tier and isinstance(chunk.service_tier, str):
            self._tier = whole(chunk.service_tier)
        events: list[StreamEvent] = []
        for choice in chunk.choices or ():
            if choice.index == 0:
                self._choice(choice, events)
        return events

    def _choice(self, choice: Choice, events: list[StreamEvent]) -> None:
        delta = choice.delta or choice.message
        self._tools.message(whole=choice.delta is None)
        if delta is not None:
            self._delta(delta, events)
        elif choice.text is not None and self._begun:
            self._delta(Delta(content=choice.text), events)  # a chat's begun answer, completed as plain text
        elif choice.text is not None:
            self._raw = True
            self._chunks += bool(choice.text)
            if text := self._halves["text"].feed(choice.text):
                self._text.append(text)
                events.append(TextDelta(text))
        self._logprobs.add(choice.logprobs)
        if choice.finish_reason:
            self._finish = whole(choice.finish_reason)

    def _delta(self, delta: Delta, events: list[StreamEvent]) -> None:
        reasoning = self._reasoning_of(delta)
        content = delta.content or ""
        self._cites = self._cites or bool(delta.annotations)
        if reasoning:
            self._in_field = True
            self._split.plain()
            self._reason(self._halves["reasoning"].feed(reasoning), events)
        if content and self._halves["reasoning"].waiting:
            self._reason(self._halves["reasoning"].flush(), events)
        if content and (text := self._halves["text"].feed(content)):
            self._pieces(self._split.feed(text), events)
        for part in delta.calls:
            index, call_id, name, arguments = self._tools.add(part)
            if index not in self._argument_halves:
                self._argument_halves[index] = HalfJoiner()
            arguments = self._argument_halves[index].feed(arguments)
            events.append(ToolCallDelta(index, call_id and whole(call_id), name and whole(name), arguments))
        if reasoning or content or delta.calls:
            self._chunks += 1

    def _reason(self, text: str, events: list[StreamEvent]) -> None:
        """Take in reasoning that came in a field of its own."""
        if text:
            self._reasoning.append(text)
            self._show("reasoning", text, events)

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

    def flush(self) -> list[StreamEvent]:
        """What was held back; to be called once, at the end."""
        events: list[StreamEvent] = []
        self._reason(self._halves["reasoning"].flush(), events)
        rest = self._halves["text"].flush()
        if rest and self._raw:
            self._text.append(rest)
            events.append(TextDelta(rest))
        elif rest:
            self._pieces(self._split.feed(rest), events)
        self._pieces(self._split.flush(), events)
        for place, left in self._tools.rest():
            halves = self._argument_halves.setdefault(place, HalfJoiner())
            events.append(ToolCallDelta(place, None, None, halves.feed(left)))
        events += [
            ToolCallDelta(index, None, None, left)
            for index, halves in self._argument_halves.items()
            if (left := halves.flush())
        ]
        text, reasoning = "".join(self._text), "".join(self._reasoning)
        taken, _ = self._text_calls.take(text, reasoning, self._ending(self._usage.parse()))
        kinds: tuple[Kind, ...] = ("reasoning", "text")
        for kind in kinds:
            read = taken is not None and taken.kind == kind
            shown = taken.after if taken is not None and read else self._hidden[kind].release(all_of_it=True)
            if shown:
                events.append(ReasoningDelta(shown) if kind == "reasoning" else TextDelta(shown))
        return events

    def _ending(self, usage: Usage | None) -> str:
        """The finish reason; `length` where an answer of as many tokens as were allowed calls tools: some hosts say
        `tool_calls` then, although the last call may be cut."""
        reason = self._finish or ("unknown" if self.done else "incomplete")
        most = 0 if self._request is None else self._request.max_tokens
        full = usage is not None and 0 < most <= usage.completion_tokens
        return "length" if full and (reason in CALLED or reason in ("stop", "unknown")) else reason

    def answer(self) -> Answer:
        """What has been said so far, or all of it."""
        usage = self._usage.parse()
        draft = Answer(
            text="".join(self._text),
            reasoning="".join(self._reasoning) or None,
            mode=self._mode,
            finish_reason=self._finish or ("unknown" if self.done else "incomplete"),
            usage=usage,
            model=self._model,
            response_id=self._id,
            tool_calls=tuple(
                _encodable(call)
                for call in self._tools.finish(cut=not self.finished or self._ending(usage).lower() in CUT_OFF)
            ),
            logprobs=self._logprobs.text(),
            reasoning_logprobs=self._logprobs.reasoning(),
            warnings=() if self._cut is None else (self._cut,),
            honoured=True,
            complete=self.finished,
            identity=Identity(clean(self._model), clean(self._fingerprint)),
            service_tier=self._tier,
            cites=self._cites,
            counted=self._counted,
        )
        if self._raw:  # plain text is what it is, whatever tags it holds
            return replace(with_doubt(draft), mode="standard")
        return judge(
            draft,
            closed=self._split.closed,
            inline=self._inline,
            in_field=self._in_field,
            calls=self._text_calls,
            ending=self._ending(usage),
        )


def _encodable(call: ToolCall) -> ToolCall:
    texts = (call.id, call.name, call.arguments)
    fixed = tuple(map(whole, texts))
    if fixed == texts:
        return call
    return call.model_copy(update=dict(zip(("id", "name", "arguments"), fixed, strict=True)))


def _detail_text(detail: JsonValue) -> str:
    found = detail.get("text") or detail.get("summary") if isinstance(detail, dict) else None
    return found if isinstance(found, str) else ""
