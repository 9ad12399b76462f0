"""A conversation as one endpoint gets it: laid out and counted once, however often it's priced and sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from deepthrift._call.prepare.counting import PromptCount, count_and_ids, in_thread_if_long
from deepthrift._types.options import Options
from deepthrift._wire.request.conversation import WireMessage, question_of, wire_messages, with_question
from deepthrift._wire.request.server_tools import functions_of
from deepthrift.hosts import HostProfile, TwoPass
from deepthrift_pricing import PrefixTracker


class Prepared:
    """What the estimate of a call and its requests have in common.

    Raises:
        InvalidRequestError: The conversation is wrong.
    """

    def __init__(self, profile: HostProfile, model: str, options: Options) -> None:
        """The conversation of `options`, which fit the profile, for the endpoint's `model`."""
        mode, tools = options.mode, bool(options.tools)
        self.profile = profile
        self.model = profile.model_for(mode, model)
        self.two_pass: TwoPass | None = profile.two_pass if mode == "thinking" else None
        self.messages = wire_messages(options.messages, profile, mode=mode, tools=tools)
        self._options = options
        self._functions = functions_of(options.tools)
        self._first: tuple[PromptCount, list[int] | None] | None = None

    def request(self, notes: str | None) -> Sequence[WireMessage]:
        """The messages of a request: of the only one, or of the first of two; with `notes`, of the second."""
        if self.two_pass is None:
            return self.messages
        question = question_of(self.messages)
        if notes is None:
            return with_question(self.messages, self.two_pass.thinking_prompt(question))
        return with_question(self.messages, self.two_pass.answer_prompt(question, notes))

    def count(self, notes: str | None = None) -> tuple[PromptCount, list[int] | None]:
        """The prompt tokens of that request, and their ids where the tokenizer is V3.1's."""
        if notes is None and self._first is not None:
            return self._first
        counted = count_and_ids(
            self.profile, self.model, self.request(notes), mode=self._options.mode, tools=self._functions
        )
        if notes is None:
            self._first = counted
        return counted

    async def traced(self, notes: str | None, prefixes: PrefixTracker | None) -> PromptCount:
        """The same without holding up the event loop, with a trace for `prefixes`."""

        def count() -> PromptCount:
            counted, ids = self.count(notes)
            if ids is None or prefixes is None:
                return counted
            return replace(counted, trace=prefixes.trace(ids, host=self.profile.name, model=self.model))

        if notes is None and self._first is not None:
            return count()
        return await in_thread_if_long(count, self.profile, self.model, self.request(notes))


def prepared(profile: HostProfile, model: str, options: Options) -> Prepared:
    """The conversation of `options` for an endpoint; one that was prepared for the same answer is used again.

    Raises:
        InvalidRequestError: The conversation is wrong.
    """
    kept = options.prepared
    if kept is None:
        return Prepared(profile, model, options)
    key = (id(profile), model, options.mode, id(options.messages), id(options.tools))
    earlier = kept.get(key)
    if earlier is None:
        earlier = Prepared(profile, model, options)
        # The options are kept, so no other messages or tools can get their ids.
        kept[key] = earlier
    return cast("Prepared", earlier)
