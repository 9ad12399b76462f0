"""The requests that a call is made of: one, or two for a model that was not trained to think."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deepthrift._call.endpoints.target import Target
from deepthrift._call.prepare.counting import PromptCount
from deepthrift._call.prepare.limits import Limits, first_limits, second_limits
from deepthrift._call.prepare.prepared import prepared
from deepthrift._call.prepare.tokenize import engine_count
from deepthrift._call.prepare.tool_bounds import check_bounded, with_results
from deepthrift._types.errors import ContextLengthExceeded
from deepthrift._types.further_options import SampleOptions
from deepthrift._types.options import Options
from deepthrift._wire.reply.answer import Answer
from deepthrift._wire.request.conversation import WireMessage
from deepthrift._wire.request.request import WireRequest, build_request, settled
from deepthrift._wire.request.server_tools import functions_of
from deepthrift_pricing import Mode


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a call, ready to be sent."""

    request: WireRequest
    prompt: PromptCount
    expects: Mode
    """The mode that the answer is expected to show; the passes of two-pass thinking look like standard mode."""
    notes: bool = False
    """Whether it is the first of two, whose text is the reasoning."""


class Passes:
    """The requests of one call, one after the other.

    Raises:
        InvalidRequestError: The conversation or an option is wrong.
    """

    def __init__(self, core: Target, options: Options, *, stream: bool) -> None:
        self._core = core
        self._stream = stream
        self._options, self.warnings = settled(options, core.profile, core.model)
        check_bounded(core, self._options)
        self._prepared = prepared(core.profile, core.model, self._options)
        self.messages = self._prepared.messages
        self._two_pass = self._prepared.two_pass
        self._notes: Answer | None = None
        self.step: Step | None = None
        """The request that was sent last, or is about to be."""

    async def next(self) -> Step:
        """The next request, counted and built.

        Raises:
            ContextLengthExceeded: It does not fit.
        """
        core, options = self._core, self._options
        said = None if self._notes is None else self._notes.text.strip() or "(none)"
        messages = self._prepared.request(said)
        notes = self._two_pass is not None and said is None
        counted = await engine_count(core, messages, mode=options.mode, tools=functions_of(options.tools))
        if counted is not None:
            prompt = PromptCount(counted, counted, "exact")
        else:
            prompt = await self._prepared.traced(said, core.prefixes)
        limits = self._limits(prompt, notes)
        self.step = self._built(
            messages, options, with_results(prompt, options.tools, core.profile), limits, notes=notes
        )
        if limits.exceeded and (prompt.exact or prompt.likely > core.profile.context):
            raise ContextLengthExceeded(f"{limits.exceeded}; shorten the conversation, or lower max_tokens")
        return self.step

    def smaller(self, step: Step, mode: Mode, max_tokens: int) -> Step:
        """`step` with fewer tokens, or in another mode, as a budget asked; what is sent from here on."""
        told = f"a budget had room for max_tokens={max_tokens:,} only"
        if mode != step.request.mode:
            told = f"a budget had no room for the thinking mode; standard mode ran, with max_tokens={max_tokens:,}"
        self.warnings += (told,)
        messages, options = step.request.messages, self._options
        notes = step.notes
        if mode != options.mode:
            messages, notes, options = self.messages, False, replace(options, mode=mode)
            self._two_pass = None
        self.step = self._built(messages, options, step.prompt, Limits(max_tokens, send=True), notes=notes)
        return self.step

    def can_change_mode(self, step: Step) -> bool:
        """Whether the call can still run in standard mode instead: not after the first of two passes."""
        return step.request.mode == "thinking" and (self._two_pass is None or step.notes)

    def take(self, answer: Answer) -> None:
        """Keep the answer to the first of two requests."""
        self._notes = answer

    def merged(self, answer: Answer) -> Answer:
        """The answer of the whole call: with two passes, the first one's text is the reasoning."""
        if self._two_pass is None:
            return answer
        if self._notes is None:
            said = answer.text.strip()
            return replace(answer, text="", reasoning=said or None, mode="thinking", honoured=True, warnings=())
        reasoning = self._notes.text.strip() or None
        ran: Mode = "thinking" if reasoning else "standard"
        warnings = answer.warnings
        if reasoning is None:
            warnings = (*warnings, "the thinking mode was asked for and the first pass said nothing")
        return replace(answer, reasoning=reasoning, mode=ran, honoured=ran == "thinking", warnings=warnings)

    def _limits(self, prompt: PromptCount, notes: bool) -> Limits:
        if self._two_pass is not None and not notes:
            used = self._notes.usage.completion_tokens if self._notes is not None and self._notes.usage else 0
            return second_limits(self._core.profile, self._options, prompt.tokens, used)
        return first_limits(self._core.profile, self._options, prompt.tokens, notes=notes)

    def _built(
        self, messages: Sequence[WireMessage], options: Options, prompt: PromptCount, limits: Limits, *, notes: bool
    ) -> Step:
        if notes:
            options = replace(options, response_format=None, logprobs=None, top_logprobs=None)
        n = options.n if isinstance(options, SampleOptions) else 1
        request = build_request(
            options,
            self._core.profile,
            model=self._core.model,
            messages=messages,
            max_tokens=limits.max_tokens,
            send_max_tokens=limits.send,
            stream=self._stream,
            extra_body=self._core.settings.extra_body if n == 1 else {**self._core.settings.extra_body, "n": n},
        )
        if n > 1:  # each of them may have so many tokens
            requests = {kind: n * most for kind, most in request.requests.items()}
            request = replace(request, max_tokens=n * request.max_tokens, requests=requests)
        return Step(request, prompt, "standard" if self._two_pass is not None else options.mode, notes)
