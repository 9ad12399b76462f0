"""However an endpoint numbers, names and splits its tool calls, as many whole calls come out as went in."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepthrift._types.events import StreamEvent, ToolCallDelta
from deepthrift._wire.events.chunk import parse_chunk
from deepthrift._wire.reply.accumulator import Accumulator
from deepthrift._wire.reply.answer import Answer
from deepthrift.hosts import HostProfile

OPENAI = HostProfile.named("openai")
VALUES = (
    st.text(max_size=6) | st.integers() | st.lists(st.booleans(), max_size=2) | st.fixed_dictionaries({"a": st.none()})
)
ARGUMENTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=3).map(json.dumps)
CALLS = st.lists(st.tuples(st.sampled_from(["look", "add", "look_up"]), ARGUMENTS), min_size=1, max_size=4)


@dataclass(frozen=True)
class Scheme:
    """How an endpoint writes its deltas."""

    number: str
    """`own`, `from 1`, `zero` or `none`."""
    identity: str
    """`own`, `same`, `blank` or `none`."""
    every: bool = False
    """Whether the id comes in every delta, and not in the first alone."""
    names: bool = False
    """Whether the name comes in every delta."""
    apart: bool = False
    """Whether id, name and arguments begin in deltas of their own."""
    snapshots: bool = False
    """Whether each delta has all of the arguments so far."""
    noise: bool = False
    """Whether later deltas carry a blank id and a blank name."""

    @property
    def interleaves(self) -> bool:
        """Whether deltas of several calls can be told apart in any order."""
        return self.number in ("own", "from 1") or (self.identity == "own" and self.every and not self.apart)

    @property
    def repeats_ids(self) -> bool:
        """Whether nothing but names and arguments tells the calls apart."""
        return self.identity == "same" and self.number in ("zero", "none")


SCHEMES = [
    Scheme("own", "own"),
    Scheme("own", "own", every=True, names=True),
    Scheme("own", "own", apart=True),
    Scheme("own", "own", noise=True),
    Scheme("own", "own", snapshots=True),
    Scheme("own", "own", snapshots=True, every=True, names=True),
    Scheme("own", "same"),
    Scheme("own", "same", every=True),
    Scheme("own", "none"),
    Scheme("own", "none", names=True),
    Scheme("own", "blank", every=True),
    Scheme("from 1", "own", apart=True),
    Scheme("from 1", "none"),
    Scheme("zero", "own"),
    Scheme("zero", "own", every=True),
    Scheme("zero", "own", every=True, names=True),
    Scheme("zero", "own", apart=True),
    Scheme("zero", "own", noise=True),
    Scheme("zero", "own", snapshots=True, every=True),
    Scheme("zero", "same"),
    Scheme("zero", "same", every=True, names=True),
    Scheme("zero", "none"),
    Scheme("zero", "none", names=True),
    Scheme("zero", "none", snapshots=True),
    Scheme("zero", "blank", every=True),
    Scheme("none", "own"),
    Scheme("none", "own", every=True),
    Scheme("none", "own", apart=True),
    Scheme("none", "own", snapshots=True, every=True),
    Scheme("none", "same", every=True),
    Scheme("none", "none"),
    Scheme("none", "none", names=True),
    Scheme("none", "blank", every=True),
]


@st.composite
def deltas(draw: st.DrawFn, scheme: Scheme, calls: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """The deltas of `calls`, cut anywhere, in any order that the scheme allows."""
    lines: list[list[dict[str, Any]]] = []
    for place, (name, arguments) in enumerate(calls):
        cuts = sorted({cut % (len(arguments) + 1) for cut in draw(st.lists(st.integers(0, 99), max_size=4))})
        marks = [0, *(cut for cut in cuts if 0 < cut < len(arguments)), len(arguments)]
        pieces = [arguments[0 if scheme.snapshots else a : b] for a, b in itertools.pairwise(marks)]
        if draw(st.booleans()):
            pieces.insert(0, "")
        lines.append(_line(scheme, place, name, pieces))
    if not scheme.interleaves:
        return [delta for line in lines for delta in line]
    order: list[dict[str, Any]] = []
    while any(lines):
        line = draw(st.sampled_from([line for line in lines if line]))
        order.append(line.pop(0))
    return order


def _line(scheme: Scheme, place: int, name: str, pieces: list[str]) -> list[dict[str, Any]]:
    ids = {"own": f"id-{place}", "same": "id", "blank": "", "none": None}
    identity = ids[scheme.identity]
    parts: list[dict[str, Any]] = [{"function": {"arguments": piece}} for piece in pieces]
    if scheme.apart:
        parts = [{}, {"function": {"name": name, "arguments": ""}}, *parts]
    else:
        parts[0]["function"]["name"] = name
    for number, part in enumerate(parts):
        if identity is not None and (scheme.every or number == 0):
            part["id"] = identity
        if scheme.names and "function" in part:
            part["function"]["name"] = name
        if scheme.noise and number > 0:
            part["id"] = ""
            part["function"].setdefault("name", "")
        if scheme.number != "none":
            part["index"] = {"own": place, "from 1": place + 1, "zero": 0}[scheme.number]
    return parts


def streamed(parts: Sequence[dict[str, Any]], together: Sequence[int] = ()) -> tuple[Answer, list[StreamEvent]]:
    accumulator = Accumulator(OPENAI, "standard")
    events: list[StreamEvent] = []
    held: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        held.append(part)
        if number in together:
            continue
        body = {"choices": [{"index": 0, "delta": {"tool_calls": held}}]}
        events += accumulator.add(parse_chunk(json.dumps(body).encode()))
        held = []
    ending: list[dict[str, Any]] = [
        {"index": 0, "delta": {"tool_calls": held} if held else {}, "finish_reason": "stop"}
    ]
    events += accumulator.add(parse_chunk(json.dumps({"choices": ending}).encode()))
    accumulator.done = True
    events += accumulator.flush()
    return accumulator.answer(), events


@pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
@settings(max_examples=40)
@given(data=st.data(), calls=CALLS, together=st.lists(st.integers(0, 20), max_size=5))
def test_whole_calls_stay_as_many_as_they_are(
    scheme: Scheme, data: st.DataObject, calls: list[tuple[str, str]], together: list[int]
) -> None:
    if scheme.repeats_ids or scheme.snapshots:  # there, a call that comes again whole may be the same call
        calls = [call for place, call in enumerate(calls) if call not in calls[:place] and call[1] != "{}"]
    parts = data.draw(deltas(scheme, calls))
    answer, events = streamed(parts, together)
    if scheme.interleaves:
        assert sorted((call.name, call.arguments) for call in answer.tool_calls) == sorted(calls)
    else:
        assert [(call.name, call.arguments) for call in answer.tool_calls] == calls
    assert len({call.id for call in answer.tool_calls}) == len(calls)
    assert all(call.id and not call.cut for call in answer.tool_calls)
    if scheme.identity == "own":
        assert {call.id for call in answer.tool_calls} == {f"id-{place}" for place in range(len(calls))}
    shown: dict[int, list[str]] = defaultdict(lambda: ["", "", ""])
    for event in events:
        if isinstance(event, ToolCallDelta):
            for place, text in enumerate((event.id, event.name, event.arguments)):
                shown[event.index][place] += text or ""
    assert [tuple(shown[place]) for place in range(len(calls))] == [
        (call.id, call.name, call.arguments) for call in answer.tool_calls
    ]


IDS = st.sampled_from([None, "", "id", "id-1", "id-2"])


@given(st.lists(st.tuples(st.sampled_from(["f", "g"]), ARGUMENTS, IDS, st.none() | st.integers(0, 1)), max_size=4))
def test_each_entry_of_a_plain_answer_is_a_call(entries: list[tuple[str, str, str | None, int | None]]) -> None:
    calls = []
    for name, arguments, identity, index in entries:
        call: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": arguments}}
        call |= {"id": identity} if identity is not None else {}
        calls.append(call | ({"index": index} if index is not None else {}))
    body = {"choices": [{"index": 0, "message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}]}
    accumulator = Accumulator(OPENAI, "standard")
    accumulator.add(parse_chunk(json.dumps(body).encode()))
    accumulator.done = True
    answer = accumulator.answer()
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [entry[:2] for entry in entries]
    assert len({call.id for call in answer.tool_calls}) == len(entries)
    assert answer.tool_calls == accumulator.answer().tool_calls


@pytest.mark.parametrize(
    "message",
    [
        {"function_call": {"name": "f", "arguments": '{"a": 1}'}},
        {"function_call": {"name": "f", "arguments": {"a": 1}}},
        {"tool_calls": [{"name": "f", "arguments": '{"a": 1}'}]},
        {"tool_calls": [{"name": "f", "arguments": {"a": 1}}]},
        {"tool_calls": {"id": "x", "function": {"name": "f", "arguments": '{"a": 1}'}}},
        {"tool_calls": [None, {"index": "0", "id": 7, "function": {"name": "f", "arguments": {"a": 1}}}]},
    ],
)
@pytest.mark.parametrize("field", ["message", "delta"])
def test_other_forms_of_a_call_are_read(field: str, message: dict[str, Any]) -> None:
    accumulator = Accumulator(OPENAI, "standard")
    body = {"choices": [{"index": 0, field: message, "finish_reason": "tool_calls"}]}
    accumulator.add(parse_chunk(json.dumps(body).encode()))
    [call] = accumulator.answer().tool_calls
    assert (call.name, json.loads(call.arguments)) == ("f", {"a": 1})


@pytest.mark.parametrize(
    ("parts", "calls"),
    [
        # a new id in each delta
        ([("a", "f", ""), ("b", None, '{"x"'), ("c", None, ": 1}")], [("f", '{"x": 1}')]),
        # the whole call again at the end
        ([("a", "f", '{"x"'), (None, None, ": 1}"), ("a", "f", '{"x": 1}')], [("f", '{"x": 1}')]),
        # a blank object first, then the arguments
        ([("a", "f", "{}"), (None, None, '{"x"'), (None, None, ": 1}")], [("f", '{"x": 1}')]),
        ([("a", "f", "{}"), (None, None, "{"), (None, None, '"x": 1}')], [("f", '{"x": 1}')]),
        ([("a", "f", "{}")], [("f", "{}")]),
        # a name in pieces
        ([("a", "get_", ""), (None, "weather", ""), (None, None, "{}")], [("get_weather", "{}")]),
        ([("a", "get_", ""), (None, "get_weather", ""), (None, None, "{}")], [("get_weather", "{}")]),
        # two calls of one name, without ids
        ([(None, "f", '{"x": 1}'), (None, "f", '{"x": 1}')], [("f", '{"x": 1}'), ("f", '{"x": 1}')]),
        ([(None, "f", '{"x": 1}'), (None, "f", ""), (None, None, '{"x": 2}')], [("f", '{"x": 1}'), ("f", '{"x": 2}')]),
        # braces in texts do not end a call
        ([(None, "f", '{"x": "}'), (None, "f", '{"'), (None, None, "}")], [("f", '{"x": "}{"}')]),
    ],
)
def test_deltas_that_were_met_in_the_wild(
    parts: list[tuple[str | None, str | None, str]], calls: list[tuple[str, str]]
) -> None:
    written = [{"index": 0, "id": a, "function": {"name": b, "arguments": c}} for a, b, c in parts]
    answer, events = streamed(written)
    assert [(call.name, call.arguments) for call in answer.tool_calls] == calls
    told = "".join(event.arguments for event in events if isinstance(event, ToolCallDelta))
    assert told == "".join(arguments for _, arguments in calls)


@pytest.mark.parametrize("arguments", ["", '{"x', '{"x": 1'])
@pytest.mark.parametrize("finish", ["length", "max_tokens"])
def test_a_call_that_reached_the_limit_is_marked(arguments: str, finish: str) -> None:
    whole = {"id": "a", "function": {"name": "f", "arguments": "{}"}}
    half = {"id": "b", "function": {"name": "g", "arguments": arguments}}
    accumulator = Accumulator(OPENAI, "standard")
    body = {"choices": [{"index": 0, "message": {"tool_calls": [whole, half]}, "finish_reason": finish}]}
    accumulator.add(parse_chunk(json.dumps(body).encode()))
    answer = accumulator.answer()
    assert [call.cut for call in answer.tool_calls] == [False, True]
    assert answer.finish_reason == "length"
    assert any("max_tokens" in warning and "'g'" in warning for warning in answer.warnings)
