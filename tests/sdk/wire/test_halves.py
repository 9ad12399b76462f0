"""Characters that arrive in halves are joined; what stays a half can be encoded all the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift import ReasoningDelta, TextDelta, ToolCallDelta
from deepthrift._types.events import StreamEvent
from deepthrift._wire.errors.failures import error_in_answer
from deepthrift._wire.events.chunk import parse_chunk
from deepthrift._wire.halves import HalfJoiner, whole
from deepthrift._wire.reply.accumulator import Accumulator
from deepthrift._wire.reply.answer import Answer
from deepthrift.hosts import HostProfile

UNITS = st.one_of(st.characters(), st.sampled_from(["\ud83d", "\ude00", "\U0001f600", "x"]))


def utf16(text: str) -> list[str]:
    """The UTF-16 units of `text`, each as a character."""
    data = text.encode("utf-16-le", "surrogatepass")
    return [chr(int.from_bytes(data[at : at + 2], "little")) for at in range(0, len(data), 2)]


@given(st.text(st.characters(codec="utf-8")), st.lists(st.integers(1, 4)))
def test_any_cut_through_the_units_gives_the_text_again(text: str, sizes: list[int]) -> None:
    units, joiner, out = utf16(text), HalfJoiner(), ""
    for size in [*sizes, len(units)]:
        piece, units = units[:size], units[size:]
        out += joiner.feed("".join(piece))
    assert out + joiner.flush() == text


@given(st.lists(st.text(UNITS, max_size=6)))
def test_whatever_arrives_can_be_encoded(pieces: list[str]) -> None:
    joiner = HalfJoiner()
    out = "".join(map(joiner.feed, pieces)) + joiner.flush()
    out.encode()
    assert out == whole("".join(pieces))


def answered(*deltas: str, finish: str = "stop") -> tuple[Answer, list[StreamEvent]]:
    """The answer and the events of deltas in JSON."""
    accumulator = Accumulator(HostProfile.named("openai"), "standard")
    events: list[StreamEvent] = []
    for delta in deltas:
        events += accumulator.add(parse_chunk(b'{"choices":[{"index":0,"delta":%b}]}' % delta.encode()))
    events += accumulator.add(parse_chunk(b'{"choices":[{"index":0,"finish_reason":"%b"}]}' % finish.encode()))
    return_events = events + accumulator.flush()
    return accumulator.answer(), return_events


def test_halves_are_joined_in_text_reasoning_and_arguments() -> None:
    call = '{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"%s"}}]}'
    answer, events = answered(
        r'{"reasoning_content":"hm \ud83d"}',
        r'{"reasoning_content":"\ude00"}',
        r'{"content":"ok \ud83d"}',
        r'{"content":"\ude00!"}',
        call % r"{\"city\":\"\ud83d",
        call % r"\ude00\"}",
    )
    assert answer.reasoning == "hm \U0001f600"
    assert answer.text == "ok \U0001f600!"
    assert json.loads(answer.tool_calls[0].arguments) == {"city": "\U0001f600"}
    for kind, text in ((TextDelta, answer.text), (ReasoningDelta, answer.reasoning)):
        assert "".join(event.text for event in events if isinstance(event, kind)) == text
    arguments = "".join(event.arguments for event in events if isinstance(event, ToolCallDelta))
    assert arguments == answer.tool_calls[0].arguments


@pytest.mark.parametrize("half", [r"\ud83d", r"\ude00"])
def test_a_half_alone_becomes_the_replacement_character(half: str) -> None:
    call = '{"tool_calls":[{"index":0,"id":"%s","function":{"name":"%s","arguments":"%s"}}]}'
    answer, events = answered(
        f'{{"reasoning_content":"r{half}"}}', f'{{"content":"t{half}"}}', call % (half, f"n{half}", f"a{half}")
    )
    assert (answer.reasoning, answer.text) == ("r\ufffd", "t\ufffd")
    found = answer.tool_calls[0]
    assert (found.id, found.name, found.arguments) == ("\ufffd", "n\ufffd", "a\ufffd")
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "t\ufffd"
    str(events).encode()
    str(answered("{}", finish=half)[0]).encode()


def test_errors_can_be_printed_too() -> None:
    error, _ = error_in_answer({"message": "no \ud83d"}, host="vllm")
    assert "no \ufffd" in str(error)
    str(error).encode()
