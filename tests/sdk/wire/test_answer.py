"""Answers put together from chunks: streamed and plain end the same, whatever the pieces."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deepthrift._types.events import ReasoningDelta, StreamEvent, TextDelta
from deepthrift._wire.events.chunk import parse_chunk
from deepthrift._wire.events.sse import EventDecoder
from deepthrift._wire.reply.accumulator import Accumulator
from deepthrift._wire.reply.answer import Answer
from deepthrift.errors import DeepthriftError
from deepthrift.hosts import HostProfile
from deepthrift_pricing import Mode

USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "completion_tokens_details": {"reasoning_tokens": 2},
}
OPENAI = HostProfile.named("openai")
INLINE = OPENAI.model_copy(update={"reasoning_in_text": True})


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **rest: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c1", "model": "m", "object": "chat.completion.chunk", "choices": choices, **rest}


def streamed(
    chunks: list[dict[str, Any]],
    mode: Mode = "standard",
    profile: HostProfile = OPENAI,
    places: list[int] | None = None,
) -> tuple[Answer, list[StreamEvent]]:
    data = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in chunks) + b"data: [DONE]\n\n"
    marks = [0, *sorted(place % (len(data) + 1) for place in places or []), len(data)]
    decoder, accumulator = EventDecoder(), Accumulator(profile, mode)
    events: list[StreamEvent] = []
    for a, b in itertools.pairwise(marks):
        for block in decoder.feed(data[a:b]):
            if block == b"[DONE]":
                accumulator.done = True
            else:
                events += accumulator.add(parse_chunk(block))
    return (events.extend(accumulator.flush()), (accumulator.answer(), events))[1]


def plain(
    message: dict[str, Any], mode: Mode = "standard", profile: HostProfile = OPENAI, finish: str = "stop"
) -> Answer:
    body = {"id": "c1", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    accumulator = Accumulator(profile, mode)
    accumulator.add(parse_chunk(json.dumps(body).encode()))
    accumulator.flush()
    accumulator.done = True
    return accumulator.answer()


THINKING = [
    chunk({"role": "assistant", "content": "", "reasoning_content": None}),
    chunk({"content": None, "reasoning_content": "Let me "}),
    chunk({"content": None, "reasoning_content": "see."}),
    chunk({"content": "Par", "reasoning_content": None}),
    chunk({"content": "is."}, "stop", usage=None),
    chunk(None, usage=USAGE),
]


def test_a_thinking_stream() -> None:
    answer, events = streamed(THINKING, "thinking")
    assert (answer.text, answer.reasoning, answer.mode, answer.finish_reason) == (
        "Paris.",
        "Let me see.",
        "thinking",
        "stop",
    )
    assert answer.usage is not None
    assert answer.usage.reasoning_tokens == 2
    assert not answer.warnings
    assert events == [
        ReasoningDelta("Let me "),
        ReasoningDelta("see."),
        TextDelta("Par"),
        TextDelta("is."),
    ]


@given(st.lists(st.integers(0, 5000), max_size=40))
def test_any_byte_split_gives_the_same_answer(places: list[int]) -> None:
    assert streamed(THINKING, "thinking", places=places)[0] == streamed(THINKING, "thinking")[0]


@given(st.text(max_size=40), st.text(max_size=40), st.integers(1, 7), st.sampled_from(["field", "inline", "open"]))
def test_streamed_and_plain_end_the_same(reasoning: str, text: str, size: int, form: str) -> None:
    """However the reasoning travels, and in whatever pieces."""
    profile = INLINE if form == "inline" else OPENAI
    if form == "field":
        message: dict[str, Any] = {"content": text, "reasoning_content": reasoning}
        parts = [{"reasoning_content": reasoning[i : i + size]} for i in range(0, len(reasoning), size)]
        parts += [{"content": text[i : i + size]} for i in range(0, len(text), size)]
    else:
        whole = f"{'<think>' if form == 'open' else ''}{reasoning}</think>{text}"
        message = {"content": whole}
        parts = [{"content": whole[i : i + size]} for i in range(0, len(whole), size)]
    chunks = [chunk(part) for part in parts] + [chunk({}, "stop")]
    answer, events = streamed(chunks, "thinking", profile)
    assert answer == Answer(**{**_fields(plain(message, "thinking", profile)), "model": "m", "response_id": "c1"})
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == answer.text or answer.warnings
    assert (
        "".join(e.text for e in events if isinstance(e, ReasoningDelta)) == (answer.reasoning or "") or answer.warnings
    )


def _fields(answer: Answer) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in Answer.__slots__}


def test_usage_on_the_last_chunk_and_on_every_chunk() -> None:
    riding = [chunk({"content": "a"}), chunk({"content": ""}, "stop", usage=USAGE)]
    every = [
        chunk({"content": "a"}, usage={"prompt_tokens": 10, "completion_tokens": 1}),
        chunk({"content": "b"}, "stop", usage={"prompt_tokens": 10, "completion_tokens": 2}),
    ]
    for chunks, completion in ((riding, 5), (every, 2)):
        usage = streamed(chunks)[0].usage
        assert usage is not None
        assert usage.completion_tokens == completion


def test_tool_calls_in_fragments() -> None:
    answer, _ = streamed(
        [
            chunk(
                {
                    "tool_calls": [
                        {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
                    ]
                }
            ),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"x"'}}]}),
            chunk({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}),
            chunk({}, "tool_calls"),
        ]
    )
    assert [(call.id, call.name, call.arguments) for call in answer.tool_calls] == [
        ("a", "f", '{"x": 1}'),
        ("b", "g", "{}"),
    ]


def test_tool_calls_without_index_or_id_and_with_parsed_arguments() -> None:
    answer = plain(
        {
            "content": None,
            "tool_calls": [
                {"id": "a", "function": {"name": "f", "arguments": {"x": "ä"}}},
                {"id": "b", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        finish="tool_calls",
    )
    assert [(call.id, call.arguments) for call in answer.tool_calls] == [("a", '{"x": "ä"}'), ("b", "{}")]
    nameless = plain({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": None}}]})
    assert nameless.tool_calls[0].id.startswith("call_")
    assert nameless.tool_calls[0].arguments == "{}"


def test_logprobs() -> None:
    body = chunk({"content": "a"})
    body["choices"][0]["logprobs"] = {
        "content": [
            {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -9999.0}]}
        ]
    }
    answer, _ = streamed([body, chunk({}, "stop")])
    assert answer.logprobs is not None
    assert answer.logprobs[0].top == ()
    assert streamed([chunk({"content": "a"}, "stop")])[0].logprobs is None


def test_other_choices_are_not_mixed_in() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "no"}}]}
    assert streamed([chunk({"content": "a"}), other, chunk({}, "stop")])[0].text == "a"


def test_reasoning_details_are_read_where_nothing_else_is() -> None:
    details = [{"type": "reasoning.text", "text": "Hm."}, {"type": "reasoning.encrypted", "data": "…"}]
    assert plain({"content": "a", "reasoning_details": details}, "thinking").reasoning == "Hm."
    assert plain({"content": "a", "reasoning": "Hm.", "reasoning_details": details}, "thinking").reasoning == "Hm."


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "message",
                    "content",
                    "reasoning_content",
                    "tool_calls",
                    "function",
                    "usage",
                    "error",
                    "index",
                    "id",
                    "logprobs",
                    "finish_reason",
                    "prompt_tokens",
                    "completion_tokens",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from(["standard", "thinking"]))
def test_any_json_is_an_answer_or_our_error(value: Any, mode: Mode) -> None:
    accumulator = Accumulator(OPENAI, mode)
    try:
        accumulator.add(parse_chunk(json.dumps(value).encode()))
    except DeepthriftError:
        return
    accumulator.flush()
    answer = accumulator.answer()
    assert isinstance(answer.text, str)


@given(st.binary(max_size=200))
def test_any_bytes_are_our_error_or_a_chunk(data: bytes) -> None:
    with contextlib.suppress(DeepthriftError):
        parse_chunk(data)
