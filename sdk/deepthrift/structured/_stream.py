"""An object that grows while its text arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final, Generic, Self, TypeVar, cast

from pydantic_core import from_json

from deepthrift._call.group import request_info
from deepthrift._call.stream import AsyncStream
from deepthrift._call.sync_stream import Stream
from deepthrift._sync.loop import Loop
from deepthrift._types.errors import ConfigurationError, StructuredOutputError
from deepthrift._types.events import StreamEvent, TextDelta
from deepthrift._types.messages import JSONValue
from deepthrift._types.reply import Reply
from deepthrift.structured._parse import cut_off
from deepthrift.structured._reply import Parsed
from deepthrift.structured._target import SchemaMismatch, Target

M = TypeVar("M")

_SHARE: Final = 64
"""A text is read anew when it has grown by this fraction, so that long ones do not cost the square of their length."""


class _PartialObject(Generic[M]):
    """The object so far."""

    def __init__(self, target: Target[M], url: str, messages: int) -> None:
        self._target = target
        self._url = url
        self._messages = messages
        self._text = ""
        self._read = 0
        self._shown: dict[str, JSONValue] | None = None
        self._parsed: Parsed[M] | None = None

    def take(self, events: Iterable[StreamEvent]) -> Iterator[dict[str, JSONValue]]:
        """The object after these events, if there is more of it than the last time."""
        self._text += "".join(event.text for event in events if isinstance(event, TextDelta))
        if (partial := self._partial()) is not None:
            yield partial

    def end(self, stream: AsyncStream | Stream) -> Iterator[dict[str, JSONValue]]:
        """The object at the end, if there is more of it; then the whole answer is validated.

        Raises:
            StructuredOutputError: It does not fit.
        """
        if (partial := self._partial(at_end=True)) is not None:
            yield partial
        self._finish(stream.reply)

    def _partial(self, *, at_end: bool = False) -> dict[str, JSONValue] | None:
        grown = len(self._text) - self._read
        if not grown or (grown < len(self._text) // _SHARE and not at_end):
            return None
        self._read = len(self._text)
        start = self._text.find("{")
        end = len(self._text) if not at_end else self._text.rfind("}") + 1
        if start < 0 or end <= start:
            return None
        try:
            found = from_json(self._text[start:end], allow_partial="trailing-strings")
        except ValueError:
            return None
        if not isinstance(found, dict) or found == self._shown:
            return None
        self._shown = partial = cast("dict[str, JSONValue]", found)
        return partial

    def _finish(self, reply: Reply) -> None:
        """Validate the whole answer.

        Raises:
            StructuredOutputError: It does not fit.
        """
        try:
            value = self._target.read(reply.text)
        except SchemaMismatch as mismatch:
            ids = tuple(attempt.id for attempt in reply.attempts)
            raise StructuredOutputError(
                cut_off(reply) or f"the answer is no {self._target.name}: {mismatch}",
                partial=reply,
                request=request_info(reply, self._url, self._messages),
                attempt_ids=ids,
                spend=reply.cost.total,
            ) from mismatch
        group = reply.attempts[-1].group_id if reply.attempts else reply.call_id
        self._parsed = Parsed(**dict(reply), value=value, repairs=0, group_id=group)

    @property
    def parsed(self) -> Parsed[M]:
        if self._parsed is None:
            raise ConfigurationError("the object is not whole; read the stream to its end")
        return self._parsed


class _FinalObject(Generic[M]):
    """What there is at the end."""

    _object: _PartialObject[M]

    @property
    def value(self) -> M:
        """The validated object.

        Raises:
            ConfigurationError: The stream has not come to its end.
        """
        return self._object.parsed.value

    @property
    def reply(self) -> Parsed[M]:
        """The complete reply.

        Raises:
            ConfigurationError: The stream has not come to its end.
        """
        return self._object.parsed


class AsyncParseStream(_FinalObject[M]):
    """An object as it arrives: `async with client.stream_parse(…) as stream: async for partial in stream: …`.

    Each `partial` is a plain dict with what has arrived so far, not validated; the last string in it may be
    unfinished. After the end, `value` has the validated object. Leaving early stops the upstream and books what came.
    """

    def __init__(self, stream: AsyncStream, target: Target[M], *, url: str, messages: int) -> None:
        self._stream = stream
        self._object = _PartialObject(target, url, messages)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def __aiter__(self) -> AsyncIterator[dict[str, JSONValue]]:
        """What has arrived, whenever there is more of it.

        Raises:
            StructuredOutputError: The whole answer does not fit.
        """
        try:
            while events := await self._stream.batch():
                for partial in self._object.take(events):
                    yield partial
            for partial in self._object.end(self._stream):
                yield partial
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Stop the upstream and book what arrived. Safe to call twice."""
        await self._stream.aclose()


class ParseStream(_FinalObject[M]):
    """An object as it arrives: `with client.stream_parse(…) as stream: for partial in stream: …`.

    The same as `AsyncParseStream`, for code without `await`.
    """

    def __init__(self, loop: Loop, stream: AsyncParseStream[M]) -> None:
        self._stream = Stream(loop, stream._stream)  # pyright: ignore[reportPrivateUsage]
        self._object = stream._object

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[dict[str, JSONValue]]:
        """What has arrived, whenever there is more of it.

        Raises:
            StructuredOutputError: The whole answer does not fit.
        """
        try:
            for event in self._stream:
                yield from self._object.take([event])
            yield from self._object.end(self._stream)
        finally:
            self.close()

    def close(self) -> None:
        """Stop the upstream and book what arrived. Safe to call twice."""
        self._stream.close()
