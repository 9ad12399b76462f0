"""DSML, the markup of V3.2's and V4's tool calls, left as text in every form in which servers leave it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepthrift._types.events import ReasoningDelta, TextDelta
from deepthrift._wire.events.chunk import parse_chunk
from deepthrift._wire.reply.accumulator import Accumulator
from deepthrift._wire.reply.answer import Answer
from deepthrift._wire.request.request import WireRequest
from deepthrift.hosts import HostProfile

OPENAI = HostProfile.named("openai")
CALL = (
    '<｜DSML｜function_calls>\n<｜DSML｜invoke name="look">\n'
    '<｜DSML｜parameter name="city" string="true">Rome</｜DSML｜parameter>\n'
    '<｜DSML｜parameter name="days" string="false">3</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>'
)
LOOKED = ("look", {"city": "Rome", "days": 3})


def request_with(*tools: str) -> WireRequest:
    body = {"messages": [], "tools": [{"type": "function", "function": {"name": name}} for name in tools]}
    sent = json.dumps(body, separators=(",", ":")).encode() if tools else b"{}"
    return WireRequest(sent, {}, "m", "standard", stream=True, messages=[], max_tokens=1_000)


def read(
    text: str,
    *,
    size: int = 10_000,
    field: str = "content",
    finish: str = "stop",
    request: WireRequest | None = None,
    more: dict[str, Any] | None = None,
) -> tuple[Answer, str]:
    """The answer, and the text that the events show, when `text` comes in pieces of `size` characters."""
    accumulator = Accumulator(OPENAI, "standard", request=request)
    events = []
    deltas = [{field: text[place : place + size]} for place in range(0, len(text), size)]
    for delta in [*deltas, more or {}]:
        body = {"choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else finish}]}
        events += accumulator.add(parse_chunk(json.dumps(body).encode()))
    events += accumulator.add(parse_chunk(json.dumps({"choices": [{"index": 0, "finish_reason": finish}]}).encode()))
    accumulator.done = True
    events += accumulator.flush()
    return accumulator.answer(), "".join(e.text for e in events if isinstance(e, TextDelta | ReasoningDelta))


def called(answer: Answer) -> list[tuple[str, Any]]:
    return [(call.name, json.loads(call.arguments)) for call in answer.tool_calls]


NAMES = st.text(alphabet="abc_-", min_size=1, max_size=6)
TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="<"), max_size=8)
VALUES = TEXTS | st.integers() | st.booleans() | st.none() | st.lists(st.integers(), max_size=2)
CALLS = st.lists(st.tuples(NAMES, st.dictionaries(NAMES, VALUES, max_size=3)), min_size=1, max_size=3)


@st.composite
def written(draw: st.DrawFn, calls: list[tuple[str, dict[str, Any]]]) -> str:
    """Calls as a server may leave them: the mark, quotes, blanks and end tags vary."""
    mark = draw(
        st.sampled_from(["｜DSML｜", "|DSML|", "｜｜DSML｜｜", "||DSML||", "| DSML |", "｜DSML｜\n", " |DSML|"])
    )
    first, last = draw(st.sampled_from(['""', "''", "“”"]))
    wrapper = draw(st.sampled_from(["function_calls", "tool_calls", "calls", ""]))
    space = draw(st.sampled_from(["\n", "", "  ", "\n\n"]))
    lines = [f"<{mark}{wrapper}>"] if wrapper else []
    for name, values in calls:
        lines.append(f"<{mark}invoke name={first}{name}{last}>")
        for key, value in values.items():
            text, kind = (value, "true") if isinstance(value, str) else (json.dumps(value), "false")
            lines.append(
                f"<{mark}parameter name={first}{key}{last} string={first}{kind}{last}>{text}</{mark}parameter>"
            )
        lines.append(f"</{mark}invoke>")
    if wrapper and draw(st.booleans()):
        lines.append(f"</{mark}{wrapper}>")
    return space.join(lines)


@pytest.mark.parametrize("field", ["content", "reasoning_content"])
@settings(max_examples=60)
@given(data=st.data(), said=st.text(alphabet="ab <｜`\n", max_size=12), calls=CALLS, size=st.integers(1, 60))
def test_calls_are_read_whatever_the_form_and_the_pieces(
    field: str, data: st.DataObject, said: str, calls: list[tuple[str, dict[str, Any]]], size: int
) -> None:
    said += "."
    answer, shown = read(said + data.draw(written(calls)), size=size, field=field)
    assert called(answer) == calls
    assert answer.finish_reason == "tool_calls"
    assert len({call.id for call in answer.tool_calls}) == len(calls)
    assert shown == said
    assert any("tool call" in warning for warning in answer.warnings)


@pytest.mark.parametrize(
    "text",
    [
        CALL,
        CALL.replace("function_calls", "tool_calls"),
        f"```xml\n{CALL}\n```",
        f"```\n{CALL}\n```\n",
        f"`{CALL}`",
        CALL.replace("</｜DSML｜invoke>\n</｜DSML｜function_calls>", ""),
        CALL.replace("</｜DSML｜parameter>", "<｜DSML｜parameter>").replace("</｜DSML｜invoke>", "<｜DSML｜invoke>"),
        CALL.replace("｜DSML｜", ""),
        '<｜DSML｜invoke name="look">{"city": "Rome", "days": 3}</｜DSML｜invoke>',
        '<｜DSML｜invoke name="look">\n```json\n{"city": "Rome", "days": 3}\n```\n</｜DSML｜invoke>',
        CALL.replace('<｜DSML｜parameter name="city" string="true">Rome</｜DSML｜parameter>',
                     '<｜DSML｜invoke name="city" string="Rome" />'),
        '<|tool_calls_begin|><|tool_call_begin|>look<|tool_sep|>{"city": "Rome", "days": 3}<|tool_call_end|>',
        '<｜tool▁call▁begin｜>look<｜tool▁sep｜>```json\n{"city": "Rome", "days": 3}\n```<｜tool▁call▁end｜>',
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>look<｜tool▁sep｜>{"city": "Rome", "days": 3}',
        '<｜tool calls begin｜><｜tool call begin｜>look<｜tool sep｜>{"city": "Rome", "days": 3}<｜tool calls end｜>',
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [3, 10_000])
def test_forms_that_were_met_in_the_wild(text: str, size: int) -> None:
    answer, shown = read(text, size=size, request=request_with("look"))
    assert called(answer) == [LOOKED]
    assert answer.text.strip("`\n ") == ""
    assert shown.strip("`\n ") == ""


def test_text_around_the_calls_is_kept_and_several_blocks_are_read() -> None:
    answer, shown = read(f"First.\n{CALL}\nThen.\n{CALL.replace('Rome', 'Oslo')}\nDone.\n", size=4)
    assert called(answer) == [LOOKED, ("look", {"city": "Oslo", "days": 3})]
    assert answer.text.split() == shown.split() == ["First.", "Then.", "Done."]


def test_values_keep_what_looks_like_tags_or_json() -> None:
    value = ' <b>x</b> </parameter> {"a": 1} \n'
    answer, _ = read(CALL.replace("Rome", value))
    assert called(answer) == [("look", {"city": value, "days": 3})]


def test_calls_that_the_server_read_as_well_count_once_and_those_that_it_missed_are_added() -> None:
    told = {
        "tool_calls": [{"index": 0, "id": "a", "function": {"name": "look", "arguments": '{"days":3,"city":"Rome"}'}}]
    }
    answer, shown = read(f"I look. {CALL}", more=told)
    assert [(call.id, call.name) for call in answer.tool_calls] == [("a", "look")]
    assert (answer.text, shown) == ("I look.", "I look. ")
    answer, _ = read(CALL.replace("Rome", "Oslo"), more=told)
    assert called(answer) == [LOOKED, ("look", {"city": "Oslo", "days": 3})]


@pytest.mark.parametrize("place", range(30, len(CALL) - 60, 7))
@pytest.mark.parametrize("field", ["content", "reasoning_content"])
def test_markup_that_reached_the_limit_is_never_a_whole_call(place: int, field: str) -> None:
    answer, shown = read(f"I look. {CALL[:place]}", size=5, field=field, finish="length")
    assert all(call.cut for call in answer.tool_calls)
    if answer.tool_calls:
        assert shown == "I look. "
        for call in answer.tool_calls:
            with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
                json.loads(call.arguments)
    assert any("tool" in warning for warning in answer.warnings)
    assert answer.finish_reason == "length"


def test_a_whole_call_before_a_cut_one_stays_whole() -> None:
    second = CALL.replace("Rome", "Oslo").split("Oslo")[0] + "Os"
    answer, _ = read(CALL.rpartition("\n")[0] + second.partition("\n")[2], finish="length")
    assert [(call.name, call.cut) for call in answer.tool_calls] == [("look", False), ("look", True)]


def test_an_answer_about_markup_stays_an_answer() -> None:
    text = f"V3.2 writes calls so:\n```xml\n{CALL}\n```\nIt is text."
    answer, shown = read(text, size=6, request=request_with())
    assert (answer.text, shown, answer.tool_calls) == (text, text, ())
    assert any("tool call" in warning for warning in answer.warnings)
    other, _ = read(text, request=request_with("add"))
    assert (other.text, other.tool_calls) == (text, ())


@pytest.mark.parametrize("text", ["<｜DSML｜aio>\n <url>x</url>\n</｜DSML｜aio>", "a <|DSML|", f"I look. {CALL[:60]}"])
def test_markup_that_holds_no_call_is_reported(text: str) -> None:
    answer, shown = read(text, size=3)
    assert answer.text == shown == text
    assert any("tool call" in warning for warning in answer.warnings)


def test_a_call_in_the_reasoning_of_a_whole_answer_is_only_reported() -> None:
    answer, _ = read(f"Maybe {CALL}", field="reasoning_content", more={"content": "It is warm."})
    assert (answer.text, answer.tool_calls) == ("It is warm.", ())
    assert any("does not make" in warning for warning in answer.warnings)


@pytest.mark.parametrize(
    "text",
    [
        "<" + " " * 3_000,
        "<｜" * 2_000,
        '<｜DSML｜invoke name="' * 500,
        "<｜tool▁call▁begin｜>" * 500,
        "```xml\n" * 500,
        "<invoke " * 500,
    ],
)
def test_text_that_never_becomes_a_call_takes_no_long_time(text: str) -> None:
    answer, shown = read(text, size=500)
    assert shown == answer.text == text
