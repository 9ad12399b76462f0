"""Streams that run far past their `max_tokens`: each further token may be billed, and no budget has room for it."""

from __future__ import annotations

import json
from typing import Final, cast

from deepthrift._wire.events.chunk import Chunk
from deepthrift._wire.events.large import sized
from deepthrift._wire.request.request import WireRequest
from deepthrift.hosts import HostProfile

_SLACK: Final = 64
"""Tokens: a stream this little past its limit is left to end by itself."""
_CHARACTERS: Final = 3
"""Characters of a token at the least, in long texts; a fragment may be a token whatever its length."""
_FIELDS: Final = ("max_tokens", "max_completion_tokens", "max_new_tokens")


class Overrun:
    """Counts the tokens of a stream as they arrive, and says when they are far past the limit that was sent.

    "Far" is a quarter more where the tokenizer is V3.1's, twice as many elsewhere, and 64 tokens at the least.
    Fragments are no measure: some servers send half a word in each, others many tokens. So their text is counted, in
    stretches, whenever enough has arrived to be past the limit.
    """

    def __init__(self, profile: HostProfile, request: WireRequest) -> None:
        self._request = request
        self._exact = profile.counts_as_v31(request.model)
        self._most = self._bound(request.max_tokens)
        self._sure = False
        self._pieces: list[str] = []
        self._characters = 0
        self._due = self._most
        self.tokens = 0
        """How many were counted so far."""

    def _bound(self, max_tokens: int) -> int:
        return max_tokens + max(_SLACK, max_tokens // 4 if self._exact else max_tokens)

    def add(self, chunk: Chunk) -> bool:
        """Take in what a chunk says; whether it is time to count."""
        for choice in chunk.choices or ():
            delta = choice.delta or choice.message
            if delta is None:
                said = [choice.text]
            else:
                reasoning = delta.reasoning_content or delta.reasoning
                if not reasoning and delta.reasoning_details:
                    reasoning = json.dumps(delta.reasoning_details)
                said = [delta.content, reasoning]
                said += [call.function.arguments for call in delta.tool_calls or () if call.function]
            for text in said:
                if text:
                    self._pieces.append(text)
                    self._characters += len(text)
        return len(self._pieces) > self._due or self._characters > self._due * _CHARACTERS

    async def far_past(self) -> bool:
        """Count what came since the last time; whether all of it is far past the limit."""
        from deepthrift_pricing.tokens import count_text

        text = "".join(self._pieces).encode("utf-8", "replace").decode()
        self._pieces, self._characters = [], 0
        self.tokens += await sized(len(text), count_text, text)
        if self.tokens > self._most and not self._sure:
            self._sure = True
            self._most = max(self._most, self._bound(self._sent()))
        # Stretches of some length, for a token that is cut between two of them counts twice.
        self._due = max(self._most - self.tokens, _SLACK)
        return self.tokens > self._most

    def _sent(self) -> int:
        """The limit in the request itself, which the user's `extra_body` may have raised."""
        body = cast("dict[str, object]", json.loads(self._request.body))
        sent = [value for name in _FIELDS if isinstance(value := body.get(name), int)]
        return max(sent, default=self._request.max_tokens)
