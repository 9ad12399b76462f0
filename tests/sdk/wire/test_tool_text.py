"""V3.1's own form of tool calls, left as text: read, and kept out of what a reader of the stream sees."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift._types.events import ReasoningDelta, TextDelta
from deepthrift._wire.events.chunk import parse_chunk
from deepthrift._wire.reply.accumulator import Accumulator
from deepthrift._wire.reply.answer import Answer
from deepthrift._wire.tool_calls.markup import TextCall, blocks_of
from deepthrift.hosts import HostProfile

BEGIN = "<｜tool▁calls▁begin｜>"
END = "<｜tool▁calls▁end｜>"


def call(name: str, arguments: str) -> str:
    return f"<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{arguments}<｜tool▁call▁end｜>"


def streamed(field: str, text: str, size: int) -> tuple[Answer, str]:
    """The answer, and the text that the events show, when `text` comes in pieces of `size` characters."""
    accumulator = Accumulator(HostProfile.named("openai"), "standard")
    events = []
    for place in range(0, len(text), size):
        delta = {field: text[place : place + size]}
        body = json.dumps({"id": "c", "choices": [{"index": 0, "delta": delta}]})
        events += accumulator.add(parse_chunk(body.encode()))
    events += accumulator.flush()
    accumulator.done = True
    return accumulator.answer(), "".join(e.text for e in events if isinstance(e, TextDelta | ReasoningDelta))


NAMES = st.text(alphabet="abc_-", min_size=1, max_size=6)
JSONS = st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=3).map(json.dumps)


@pytest.mark.parametrize("field", ["content", "reasoning_content"])
@given(
    said=st.text(alphabet="ab <｜t\n", max_size=12),
    calls=st.lists(st.tuples(NAMES, JSONS), min_size=1, max_size=3),
    size=st.integers(1, 60),
)
def test_calls_are_read_whatever_the_pieces(field: str, said: str, calls: list[tuple[str, str]], size: int) -> None:
    text = said + BEGIN + "".join(call(*each) for each in calls) + END
    answer, shown = streamed(field, text, size)
    assert [(each.name, each.arguments) for each in answer.tool_calls] == calls
    assert answer.finish_reason == "tool_calls"
    assert shown == said
    assert ((answer.text if field == "content" else answer.reasoning) or "") == said.rstrip()


@given(st.text(alphabet="ab<｜tool▁calls▁begin｜>", max_size=60), st.integers(1, 9))
def test_text_without_a_whole_call_is_shown_whole(text: str, size: int) -> None:
    answer, shown = streamed("content", text, size)
    assert shown == text
    assert not answer.tool_calls


@pytest.mark.parametrize("rest", ["", "<｜tool▁call▁begin｜>", "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{", f"{END}"])
def test_a_mark_without_a_whole_call_stays_text(rest: str) -> None:
    answer, shown = streamed("content", f"I look. {BEGIN}{rest}", 5)
    assert shown == answer.text == f"I look. {BEGIN}{rest}"
    assert any("no complete call" in warning for warning in answer.warnings)


def test_calls_without_the_closing_mark_are_read() -> None:
    """The closing mark is the last token, and `max_tokens` or a stop text may have cut it off."""
    [block] = blocks_of(f"{BEGIN}{call('f', '{}')}{call('g', '{}')}", bare=False)
    assert [each.name for each in block.calls] == ["f", "g"]


def test_code_fences_around_arguments_do_no_harm() -> None:
    """The older form of V3 puts the kind before the name and a fence around the JSON."""
    old = f'{BEGIN}<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{{"a": 1}}\n```<｜tool▁call▁end｜>{END}'
    [block] = blocks_of(old, bare=False)
    assert block.calls == (TextCall("f", '{"a": 1}', "whole"),)
