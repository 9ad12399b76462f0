"""Events from bytes that arrive in any pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deepthrift._wire.events.sse import EventDecoder
from deepthrift.errors import DeepthriftError, ResponseTooLarge

STREAM = (
    b"\xef\xbb\xbf: OPENROUTER PROCESSING\n\n"
    b'data: {"a":1}\n\n'
    b": keep-alive\n\n\n"
    b"event: message\r\nid: 7\r\nretry: 10\r\n"
    b'data:{"b":"\xe4\xbd\xa0\xe5\xa5\xbd"}\r\n\r\n'
    b"data: :\n\ndata:\n\ndata: : keep-alive\n\n"
    b'data: {"c":\ndata: 3}\n\n'
    b"data: [DONE]\n\n"
)
EVENTS = [b'{"a":1}', '{"b":"你好"}'.encode(), b'{"c":\n3}', b"[DONE]"]


def decode(pieces: list[bytes]) -> list[bytes]:
    decoder = EventDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.flush()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(marks)]


def test_every_kind_of_line() -> None:
    assert decode([STREAM]) == EVENTS


@given(st.lists(st.integers(0, 10_000), max_size=60))
@example(list(range(len(STREAM))))
def test_any_split_gives_the_same_events(places: list[int]) -> None:
    assert decode(cut(STREAM, places)) == EVENTS


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_every_line_ending(end: bytes) -> None:
    stream = STREAM.replace(b"\r\n", b"\n").replace(b"\n", end)
    assert decode([stream]) == EVENTS
    assert decode([bytes([byte]) for byte in stream]) == EVENTS


@pytest.mark.parametrize("tail", [b"data: [DONE]", b"data: [DONE]\n", b"data:[DONE]\r\n"])
def test_an_end_without_its_blank_line_counts(tail: bytes) -> None:
    assert decode([b'data: {"a":1}\n\n', tail]) == [b'{"a":1}', b"[DONE]"]


def test_the_end_mark_does_not_wait_for_a_blank_line() -> None:
    assert EventDecoder().feed(b"data: [DONE]\n") == [b"[DONE]"]


def test_an_error_without_framing_is_an_event() -> None:
    assert decode([b'data: {"a":1}\n\n{"error":"no"}\n']) == [b'{"a":1}', b'{"error":"no"}']


def test_a_line_without_end_is_refused_before_memory_is() -> None:
    decoder = EventDecoder()
    for _ in range(16):
        decoder.feed(b"x" * 2**20)
    with pytest.raises(ResponseTooLarge, match="16 MiB"):
        decoder.feed(b"x")


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_garbage_raises_nothing_but_our_errors(pieces: list[bytes]) -> None:
    try:
        events = decode(pieces)
    except DeepthriftError:
        return
    assert all(isinstance(event, bytes) and event for event in events)


@given(st.lists(st.binary(max_size=40), max_size=12), st.lists(st.integers(0, 1000), max_size=12))
def test_garbage_too_is_the_same_in_any_split(parts: list[bytes], places: list[int]) -> None:
    data = b"\n".join(parts)
    assert decode(cut(data, places)) == decode([data])
