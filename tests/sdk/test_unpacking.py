"""Bodies are unpacked right, however they are packed and cut, and never much of them at once."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Final

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift._net.unpacking import PIECE, encodings_of, unpacked


def raw_deflate(data: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(data) + squeeze.flush()


def members(data: bytes) -> bytes:
    return gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :]) + b"\0" * 8


PACKERS: Final[dict[str, tuple[list[str], Callable[[bytes], bytes]]]] = {
    "gzip": (["gzip"], gzip.compress),
    "members of gzip": (["x-gzip"], members),
    "deflate": (["deflate"], zlib.compress),
    "deflate without its header": (["deflate"], raw_deflate),
    "gzip in deflate": (["gzip", "deflate"], lambda data: zlib.compress(gzip.compress(data))),
}
FURTHER: Final = {"br": "brotli", "zstd": "zstandard"}


async def whole(packed: bytes, encodings: list[str], size: int) -> tuple[bytes, int]:
    """The unpacked body, and the largest piece of it."""

    async def parts() -> AsyncIterator[bytes]:
        for at in range(0, len(packed), size):
            yield packed[at : at + size]

    pieces = [piece async for piece in unpacked(parts(), encodings)]
    return b"".join(pieces), max(map(len, pieces), default=0)


@pytest.mark.parametrize("kind", PACKERS)
@given(data=st.binary(max_size=300), times=st.sampled_from([1, 1_000]), size=st.sampled_from([1, 2, 7, 1_000, 10**6]))
async def test_any_body_in_any_pieces(kind: str, data: bytes, times: int, size: int) -> None:
    encodings, pack = PACKERS[kind]
    found, largest = await whole(pack(data * times), encodings, size)
    assert found == data * times
    assert largest <= PIECE


@pytest.mark.parametrize("name", FURTHER)
async def test_with_the_libraries_that_httpx_takes(name: str) -> None:
    library = pytest.importorskip(FURTHER[name])
    for data in (b"", b"x", b"abc" * 100_000, bytes(3 * 2**20)):
        for size in (1_000, 10**6):
            found, largest = await whole(library.compress(data), [name], size)
            assert found == data
            assert largest <= 16 * PIECE


@pytest.mark.parametrize("name", ["gzip", "deflate"])
async def test_what_is_damaged_or_unknown_is_an_error_of_httpx(name: str) -> None:
    for packed, encodings in ((b"\x00no such thing", [name]), (b"x", ["rot13"]), (b"x", [name] * 9)):
        with pytest.raises(httpx.DecodingError):
            await whole(packed, encodings, 4)


def test_the_encodings_of_a_body() -> None:
    headers = httpx.Headers([("content-encoding", "GZIP, identity"), ("content-encoding", "br")])
    assert encodings_of(headers) == ["gzip", "br"]
    assert encodings_of(httpx.Headers({"content-encoding": ""})) == []
