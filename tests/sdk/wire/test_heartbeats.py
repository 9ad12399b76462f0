"""Heartbeats, framing and line endings: none of them changes what a stream says."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift._wire.events.body import BodyReader, lines_of
from deepthrift._wire.events.chunk import parse_chunk
from deepthrift._wire.events.heartbeat import is_end_mark, is_heartbeat, is_heartbeat_name
from deepthrift._wire.events.sse import DONE, EventDecoder
from deepthrift._wire.reply.accumulator import Accumulator
from deepthrift.hosts import HostProfile

BEATS = (
    "null", "{}", "[]", '""', "0", "true", ".", "ping", "PING", "keep-alive", "heartbeat", ": ping", "[{}]",
    '{"type":"ping"}', '{"type": "keepalive", "sequence_number": 3}', '{"type":"heartbeat","ts":17}',
    '{"event":"keep_alive"}', '{"status":"processing","message":"waiting in the queue"}', '{"object":"chat.ping"}',
    '{"id":"c1","created":1}', '{"type":"queue_position","position":4}', '{"choices":null}', '{"usage":null}',
)  # fmt: skip
SPEAKING = (
    '{"choices":[]}', '{"error":null,"choices":[]}', '{"error":{"message":"no"}}', '{"message":"no"}',
    '{"type":"error","code":500}', '{"status":500}', '{"detail":"the engine died"}', "upstream error: ECONNRESET",
    '{"usage":{"prompt_tokens":1}}', '{"msg":"rate limit","code":429}', '{"type":"ping","code":502}',
)  # fmt: skip
FRAMED = (b"data: %b\n\n", b"event: ping\ndata: %b\n\n", b": comment\n\ndata: %b\n\n", b"data: data: %b\n\n")
SILENT = (
    b": keep-alive\n\n", b"data:\n\n", b"data: :\n\n", b"\n", b"   \n", b"event: ping\n\n", b"retry: 1\n", b"id: 4\n\n",
)  # fmt: skip


@pytest.mark.parametrize("beat", BEATS[:-2])
def test_what_says_nothing_is_a_heartbeat(beat: str) -> None:
    assert is_heartbeat(beat.encode())


@pytest.mark.parametrize("data", SPEAKING)
def test_what_says_something_is_none(data: str) -> None:
    assert not is_heartbeat(data.encode())


def test_names_and_end_marks() -> None:
    assert all(map(is_heartbeat_name, (b" ping", b"heartbeat", b"keep-alive", b"keepalive", b"server_ping")))
    assert not any(map(is_heartbeat_name, (b"message", b"error", b"completion.chunk", b"")))
    assert all(map(is_end_mark, (b"[DONE]", b"[done]", b'"[DONE]"', b" DONE ")))
    assert not any(map(is_end_mark, (b"{}", b'{"done":true}', b"")))


def event(text: str | None, finish: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}, ensure_ascii=False).encode()


def said(pieces: list[bytes]) -> tuple[str, str]:
    """Text and finish reason of a stream."""
    reader = BodyReader(EventDecoder())
    accumulator = Accumulator(HostProfile.named("vllm"), "standard")
    for block in itertools.chain.from_iterable(map(reader.feed, [*pieces, None])):
        if block == DONE:
            accumulator.done = True
        elif not is_heartbeat(block):
            chunk = parse_chunk(block)
            assert not chunk.is_error
            accumulator.add(chunk)
    accumulator.flush()
    answer = accumulator.answer()
    return answer.text, answer.finish_reason


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[str], list[bytes]]:
    """The texts of an answer, and a stream of them in odd framing, cut anywhere."""
    texts = draw(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), min_size=1, max_size=6))
    blocks = [*map(event, texts), event(None, "stop"), b"[DONE]"]
    beats = st.one_of(
        st.sampled_from(SILENT),
        st.builds(lambda frame, beat: frame % beat.encode(), *map(st.sampled_from, (FRAMED, BEATS))),
    )
    prefix = st.sampled_from([b"data: ", b"data:", b"data: data: ", b"\xef\xbb\xbfdata: ", b" data: "])
    end = st.sampled_from([b"\n\n", b"\n\n\n", b"\n"])  # the last one without its blank line
    body = b"".join(b"".join(draw(st.lists(beats, max_size=2))) + draw(prefix) + block + draw(end) for block in blocks)
    body = body.replace(b"\n", draw(st.sampled_from([b"\n", b"\r\n", b"\r"])))
    places = draw(st.lists(st.integers(0, len(body)), max_size=12))
    marks = [0, *sorted(places), len(body)]
    return texts, [body[a:b] for a, b in itertools.pairwise(marks)]


@given(streams())
def test_no_framing_and_no_heartbeat_changes_the_answer(stream: tuple[list[str], list[bytes]]) -> None:
    texts, pieces = stream
    assert said(pieces) == ("".join(texts), "stop")


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c"])
def test_separators_of_other_alphabets_end_no_line(separator: str) -> None:
    stream = b"data: " + event(f"a{separator}b") + b"\n\ndata: " + event(None, "stop") + b"\n\n"
    assert said([stream[:40], stream[40:]]) == (f"a{separator}b", "stop")


def test_events_that_lines_alone_separate() -> None:
    data = b"\n".join(b"data: " + block for block in (event("a"), event("b"), event(None, "stop")))
    assert said([data]) == ("ab", "stop")
    bare = b"\n".join((event("a"), event("b"), event(None, "stop")))
    assert said([bare]) == said([bare[:50], bare[50:]]) == ("ab", "stop")
    assert lines_of(json.dumps({"choices": []}, indent=1).encode()) == []


def test_a_heartbeat_without_framing_does_not_turn_a_stream_into_one_json() -> None:
    data = b"{}\n\ndata: " + event("a") + b"\n\ndata: " + event(None, "stop") + b"\n\n"
    for size in (1, 3, 7, len(data)):
        assert said([data[at : at + size] for at in range(0, len(data), size)]) == ("a", "stop")


def test_bytes_that_are_no_utf_8_cost_a_character_and_not_the_answer() -> None:
    data = b"data: " + event("a?b").replace(b"?", b"\xf0\x9f") + b"\n\ndata: " + event(None, "stop") + b"\n\n"
    text, finish = said([data])
    assert (text[0], text[-1], finish) == ("a", "b", "stop")
    assert "\ufffd" in text
