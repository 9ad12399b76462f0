"""Large bodies: JSON read in steps, in a thread, so that the event loop goes on meanwhile.

Python's own JSON scanner and pydantic's hold the interpreter lock from the first byte to the last. A thread alone would
not help: 64 MiB would stop the loop for most of a second. Here, no step takes more than a few milliseconds.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable
from json.decoder import scanstring  # type: ignore[attr-defined]  # exists in every CPython; see typeshed
from json.scanner import NUMBER_RE
from typing import Final, ParamSpec, TypeVar, cast

from pydantic import BaseModel

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

LARGE: Final = 256 * 1024
"""Bytes from which a body is read in a thread."""
_STEPS: Final = (4_096, 131_072)
"""Characters in which a value is looked for before its parts are read one by one."""
_STRING: Final = 2**20
_MOST_VALUES: Final = 8_000_000
"""Values of one body: more than the log-probabilities of any answer have, few enough to hold."""
_SPACE: Final = " \t\n\r"
_DIGITS: Final = frozenset("-0123456789")
_CONSTANTS: Final[dict[str, object]] = {
    "null": None,
    "true": True,
    "false": False,
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}


async def off_loop(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread. A cancellation is raised once the work is done, so that nothing it did is lost."""
    running = asyncio.get_running_loop().run_in_executor(None, functools.partial(work, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError:
                continue
        if not running.cancelled():
            running.exception()  # looked at: the cancellation is what the caller gets
        raise


async def sized(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` on a body of `size` bytes: at once if it is small, in a thread if it is large."""
    if size < LARGE:
        return work(*args, **kwargs)
    return await off_loop(work, *args, **kwargs)


def load_json(data: bytes) -> object:
    """The value of a JSON text in UTF-8; bytes that are none become U+FFFD.

    Raises:
        ValueError: It is not JSON, or has more values than can be held.
        RecursionError: It is nested too deeply.
    """
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    return json.loads(text) if len(data) < LARGE else _Steps(text).all()


def read_model(kind: type[M], data: bytes) -> M:
    """The model in a JSON text.

    Raises:
        ValueError: It is not JSON, or not this model.
        RecursionError: It is nested too deeply.
    """
    return kind.model_validate_json(data) if len(data) < LARGE else kind.model_validate(load_json(data))


class _Steps:
    """Reads one JSON text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._values = 0
        self._raw_decode = json.JSONDecoder().raw_decode

    def all(self) -> object:
        value, end = self._value(self._skip(0))
        if self._skip(end) != len(self._text):
            raise self._wrong(end)
        return value

    def _wrong(self, at: int) -> ValueError:
        return json.JSONDecodeError("not JSON", self._text[at : at + 1], 0)

    def _skip(self, at: int) -> int:
        text = self._text
        while at < len(text) and text[at] in _SPACE:
            at += 1
        return at

    def _count(self, values: int) -> None:
        self._values += values
        if self._values > _MOST_VALUES:
            raise ValueError(f"more than {_MOST_VALUES:,} values")

    def _value(self, at: int) -> tuple[object, int]:
        text = self._text
        first = text[at : at + 1]
        self._count(1)
        if first == '"':
            return self._string(at)
        if first in ("{", "["):
            for size in _STEPS:
                piece = text[at : at + size]
                try:
                    value, length = self._raw_decode(piece)
                except ValueError:
                    continue  # it is longer than that, or no JSON, which shows when its parts are read
                self._count(piece.count(",", 0, length) + piece.count("[", 0, length))
                return value, at + length
            return self._object(at + 1) if first == "{" else self._array(at + 1)
        if (number := NUMBER_RE.match(text, at)) is not None:
            whole, fraction, exponent = number.groups()
            end = number.end()
            if fraction or exponent:
                return float(number[0]), end
            return int(whole), end
        for name, constant in _CONSTANTS.items():
            if text.startswith(name, at):
                return constant, at + len(name)
        raise self._wrong(at)

    def _array(self, at: int) -> tuple[list[object], int]:
        found: list[object] = []
        at = self._skip(at)
        if self._text[at : at + 1] == "]":
            return found, at + 1
        while True:
            values, at = self._numbers(at) or self._value_in_list(at)
            found += values
            at, more = self._next(at, "]")
            if not more:
                return found, at

    def _value_in_list(self, at: int) -> tuple[list[object], int]:
        value, at = self._value(at)
        return [value], at

    def _numbers(self, at: int) -> tuple[list[object], int] | None:
        """The numbers from `at` on, as many as one step takes: a vector has thousands."""
        if self._text[at : at + 1] not in _DIGITS:
            return None
        piece = self._text[at : at + _STEPS[-1]]
        end = piece.find("]")
        piece = piece[:end] if end >= 0 else piece[: max(piece.rfind(","), 0)]
        try:
            values = cast("list[object]", json.loads(f"[{piece}]"))
        except ValueError:
            return None
        self._count(piece.count(",") + 1)
        return (values, at + len(piece)) if values else None

    def _object(self, at: int) -> tuple[dict[str, object], int]:
        found: dict[str, object] = {}
        at = self._skip(at)
        if self._text[at : at + 1] == "}":
            return found, at + 1
        while True:
            if self._text[at : at + 1] != '"':
                raise self._wrong(at)
            name, at = self._string(at)
            at = self._skip(at)
            if self._text[at : at + 1] != ":":
                raise self._wrong(at)
            found[name], at = self._value(self._skip(at + 1))
            at, more = self._next(at, "}")
            if not more:
                return found, at

    def _next(self, at: int, close: str) -> tuple[int, bool]:
        """Behind a comma or the closing bracket, and whether another value follows."""
        at = self._skip(at)
        mark = self._text[at : at + 1]
        if mark == close:
            return at + 1, False
        if mark != ",":
            raise self._wrong(at)
        return self._skip(at + 1), True

    def _string(self, at: int) -> tuple[str, int]:
        """The string that opens at `at`; a long one is read in pieces."""
        text, start = self._text, at + 1
        pieces: list[str] = []
        size = _STEPS[0]
        while True:
            cut = self._cut(start, size)
            size = min(size * 16, _STRING)
            if (quote := text.find('"', start, cut)) >= 0 and "\\" not in text[start:quote]:
                pieces.append(cast("str", scanstring(text[start : quote + 1], 0, True)[0]))
                return "".join(pieces), quote + 1
            try:
                piece, length = cast("tuple[str, int]", scanstring(f'{text[start:cut]}"', 0, True))
            except ValueError:
                raise self._wrong(start) from None
            pieces.append(piece)
            if length <= cut - start:  # its own quote came before the one put there
                return "".join(pieces), start + length
            if cut >= len(text):
                raise self._wrong(cut)
            start = cut

    def _cut(self, start: int, size: int) -> int:
        """A place up to which the string that goes on at `start` can be read by itself: not inside an escape."""
        text, cut = self._text, start + size
        if cut >= len(text):
            return len(text)
        while cut > start:
            slash = text.rfind("\\", max(start, cut - 12), cut)
            if slash < 0:
                return cut
            run = slash
            while run > start and text[run - 1] == "\\":
                run -= 1
            first = slash - (slash - run) % 2  # where its escape begins: it may be escaped itself
            if not text.startswith(("\\ud", "\\uD"), first):  # a second half stays with its first one
                return first if first > start else len(text)
            cut = first
        return len(text)
