"""Streams that run far past their `max_tokens`: each further token may be billed, and no budget has room for it."""

from __future__ import annotations

import json
from typing import Final, cast

from deepthrift._wire.events.chunk import Chunk
from deepthrift._wire.events.large import sized
from deepthrift._wire.request.request import WireRequest
from deepthrift.hosts import HostProfile

_TEXT: Final = 190
"""Tokens of text past the limit that a stream may have at the least before it's ended."""
_ALL: Final = 512
"""The same with its reasoning, which some hosts don't count against `max_tokens`."""
_STRETCH: Final = 8
"""Tokens at the least between two counts, for a token that is cut between two stretches counts twice."""
_CHARACTERS: Final = 3
"""Characters of a token at the least, in long texts; a fragment may be a token whatever its length."""
_FIELDS: Final = ("max_tokens", "max_completion_tokens", "max_new_tokens")


class Overrun:
    """Counts the tokens of a stream as they arrive, and says when they are far past the limit that was sent.

    "Far" is a quarter more where the tokenizer is V3.1's, twice as many elsewhere, and at the least 190 tokens of text,
    or 512 with the reasoning. Fragments are no measure: some servers send half a word in each, others many tokens. So
    their text is counted, in stretches, whenever enough has arrived to be past the limit.
    """

    def __init__(self, profile: HostProfile, request: WireRequest) -> None:
        self._request = request
        self._exact = profile.counts_as_v31(request.model)
        self._limit = request.max_tokens
        self._sure = False
        self._text = _Stretch(self._most(_TEXT))
        self._reasoning = _Stretch(self._most(_ALL))

    @property
    def tokens(self) -> int:
        """How many were counted so far."""
        return self._text.tokens + self._reasoning.tokens

    def add(self, chunk: Chunk) -> bool:
        """Takes in what a chunk says. Returns whether it's time to count."""
        for choice in chunk.choices or ():
            delta = choice.delta or choice.message
            if delta is None:
                self._text.add(choice.text)
                continue
            reasoning = delta.reasoning_content or delta.reasoning
            if not reasoning and delta.reasoning_details:
                reasoning = json.dumps(delta.reasoning_details)
            self._reasoning.add(reasoning)
            self._text.add(delta.content)
            for call in delta.tool_calls or ():
                if call.function:
                    self._text.add(call.function.arguments)
        return self._text.is_due or self._reasoning.is_due

    async def far_past(self) -> bool:
        """Counts what came since the last time. Returns whether all of it is far past the limit."""
        await self._text.count()
        await self._reasoning.count()
        if self._is_far_past() and not self._sure:
            self._sure = True
            self._limit = max(self._limit, self._sent())
        self._text.wait_for(self._most(_TEXT) - self._text.tokens)
        self._reasoning.wait_for(self._most(_ALL) - self.tokens)
        return self._is_far_past()

    def _most(self, slack: int) -> int:
        return self._limit + max(slack, self._limit // 4 if self._exact else self._limit)

    def _is_far_past(self) -> bool:
        return self._text.tokens > self._most(_TEXT) or self.tokens > self._most(_ALL)

    def _sent(self) -> int:
        """The limit in the request itself, which the user's `extra_body` may have raised."""
        body = cast("dict[str, object]", json.loads(self._request.body))
        sent = [value for name in _FIELDS if isinstance(value := body.get(name), int)]
        return max(sent, default=self._request.max_tokens)


class _Stretch:
    """Text that was not counted yet, and the tokens of what was."""

    def __init__(self, due: int) -> None:
        self._pieces: list[str] = []
        self._characters = 0
        self._due = due
        self.tokens = 0

    def add(self, text: str | None) -> None:
        if text:
            self._pieces.append(text)
            self._characters += len(text)

    @property
    def is_due(self) -> bool:
        return len(self._pieces) > self._due or self._characters > self._due * _CHARACTERS

    async def count(self) -> None:
        from deepthrift_pricing.tokens import count_text

        text = "".join(self._pieces).encode("utf-8", "replace").decode()
        self._pieces, self._characters = [], 0
        self.tokens += await sized(len(text), count_text, text)

    def wait_for(self, tokens: int) -> None:
        self._due = max(tokens, _STRETCH)
