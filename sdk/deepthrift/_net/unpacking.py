"""Compressed bodies, unpacked in small pieces: a megabyte that stands for a gigabyte is never a gigabyte in memory."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from importlib import import_module
from typing import Final, Protocol, cast

import httpx

PIECE: Final = 64 * 1024
"""Bytes that are unpacked in one go."""
_HEADER: Final = 2
_ZSTD_SLICE: Final = 64
"""Bytes given to a decoder that has no limit on its output; 4 of them are a block of up to 128 KiB."""
_BROTLI_SLICE: Final = 8
"""The same where a block may have up to 16 MiB."""
_MOST_ENCODINGS: Final = 3
_WINDOW: Final = 2**23
"""Bytes that a decoder of zstd may look back on (RFC 9659 allows no more on the web)."""


class _Codec(Protocol):
    """Unpacks what it was fed, a piece at a time."""

    def feed(self, data: bytes) -> None:
        """Take in packed bytes; everything fed before has been taken out."""
        ...

    def take(self) -> bytes:
        """The next piece; blank when more has to be fed."""
        ...


class _Zlib:
    """gzip, also of several members, and deflate, also without its header."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._packed = b""
        self._decoder = zlib.decompressobj(bits)
        self._head = b""
        """The bytes that tell whether there is a header."""

    def feed(self, data: bytes) -> None:
        self._packed += data

    def take(self) -> bytes:
        while self._packed:
            if self._decoder.eof:
                if self._bits < 16 or not self._packed.startswith(b"\x1f"):
                    self._packed = b""  # padding
                    return b""
                self._decoder = zlib.decompressobj(self._bits)
            packed, self._packed = self._packed, b""
            try:
                piece = self._decoder.decompress(packed, PIECE)
            except zlib.error:
                if len(self._head) >= _HEADER or self._bits != zlib.MAX_WBITS:
                    raise
                self._decoder = zlib.decompressobj(-zlib.MAX_WBITS)
                piece = self._decoder.decompress(self._head + packed, PIECE)
            self._head = (self._head + packed)[:_HEADER]
            self._packed = self._decoder.unconsumed_tail or self._decoder.unused_data
            if piece:
                return piece
        return self._decoder.decompress(b"", PIECE) if self._held else b""

    @property
    def _held(self) -> bool:
        """Whether output may wait inside of zlib although all input was taken."""
        return not self._decoder.eof and bool(self._head)


class _SlicedDecoder:
    """A decoder without a limit on its output, given so few bytes at a time that there is one."""

    def __init__(self, unpack: Callable[[bytes], bytes], size: int) -> None:
        self._unpack = unpack
        self._size = size
        self._packed = memoryview(b"")
        self._unpacked = memoryview(b"")

    def feed(self, data: bytes) -> None:
        self._packed = memoryview(data)

    def take(self) -> bytes:
        while not self._unpacked:
            if not self._packed:
                return b""
            piece, self._packed = bytes(self._packed[: self._size]), self._packed[self._size :]
            self._unpacked = memoryview(self._unpack(piece))
        found, self._unpacked = bytes(self._unpacked[:PIECE]), self._unpacked[PIECE:]
        return found


class _Brotli:
    """Brotli from version 1.2 on, which limits its output itself."""

    def __init__(self, process: Callable[..., bytes]) -> None:
        self._process = process
        self._packed = b""
        self._more = False

    def feed(self, data: bytes) -> None:
        self._packed = data

    def take(self) -> bytes:
        packed, self._packed = self._packed, b""
        if not packed and not self._more:
            return b""
        piece = self._process(packed, output_buffer_limit=PIECE)
        self._more = bool(piece)
        return piece


def _brotli() -> _Codec:
    try:
        library = import_module("brotli")
    except ImportError:
        library = import_module("brotlicffi")
    decoder: object = library.Decompressor()
    unpack = cast("Callable[..., bytes]", getattr(decoder, "process", None) or getattr(decoder, "decompress", None))
    return _Brotli(unpack) if hasattr(decoder, "can_accept_more_data") else _SlicedDecoder(unpack, _BROTLI_SLICE)


def _zstd() -> _Codec:
    library = import_module("zstandard")
    decoder = library.ZstdDecompressor(max_window_size=_WINDOW).decompressobj(read_across_frames=True)
    return _SlicedDecoder(cast("Callable[[bytes], bytes]", decoder.decompress), _ZSTD_SLICE)


_CODECS: Final[dict[str, Callable[[], _Codec]]] = {
    "gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "x-gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "deflate": lambda: _Zlib(zlib.MAX_WBITS),
    "br": _brotli,
    "zstd": _zstd,
}


class _DecodedBody:
    """The unpacked bytes of a body, with a turn for other tasks after every piece."""

    def __init__(self, parts: AsyncIterator[bytes], codec: _Codec, name: str) -> None:
        self._parts = parts
        self._codec = codec
        self._name = name
        self._more = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._more:
                await asyncio.sleep(0)
                if piece := self._take():
                    return piece
                self._more = False
            packed = await self._parts.__anext__()
            self._codec.feed(packed)
            self._more = True

    def _take(self) -> bytes:
        try:
            return self._codec.take()
        except Exception as error:  # each library has an error of its own
            raise httpx.DecodingError(f"the body is not {self._name}: {error}") from None


def encodings_of(headers: httpx.Headers) -> list[str]:
    """The encodings of a body in the order in which they were applied, none for a plain one."""
    named = ",".join(headers.get_list("content-encoding")).lower().split(",")
    return [name for each in named if (name := each.strip()) not in ("", "identity", "none", "utf-8")]


def unpacked(parts: AsyncIterator[bytes], encodings: Sequence[str]) -> AsyncIterator[bytes]:
    """The plain bytes of a body. Reading them raises `httpx.DecodingError` where they cannot be unpacked."""
    if len(encodings) > _MOST_ENCODINGS:
        return _UndecodableBody(f"the body is encoded {len(encodings)} times over")
    for name in reversed(encodings):
        try:
            codec = _CODECS[name]()
        except (KeyError, ImportError):
            return _UndecodableBody(
                f"the body is encoded as {name[:40]!r}, which was not asked for and cannot be read here"
            )
        parts = _DecodedBody(parts, codec, name)
    return parts


class _UndecodableBody:
    """A body that cannot be unpacked, which shows when it is read: its status and headers may be of use."""

    def __init__(self, why: str) -> None:
        self._why = why

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        raise httpx.DecodingError(self._why)
