"""A user's messages on their way to the wire."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift._wire.request.conversation import question_of, wire_messages, with_question
from deepthrift.errors import InvalidRequestError, UnsupportedFeature
from deepthrift.hosts import HostProfile

VLLM = HostProfile.named("vllm")
KEEPING = VLLM.model_copy(update={"history": "keep"})
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USER = {"role": "user", "content": "Hi"}


def wire(messages: Any, profile: HostProfile = VLLM) -> list[dict[str, object]]:
    before = copy.deepcopy(messages)
    out = wire_messages(messages, profile)
    assert messages == before, "the user's own messages are never changed"
    return out


def test_a_string_is_one_user_message() -> None:
    assert wire("Hi") == [USER]


def test_text_parts_become_a_string() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert wire([{"role": "user", "content": parts}]) == [{"role": "user", "content": "a\nb"}]


def test_empty_tool_calls_are_dropped() -> None:
    assert wire([USER, {"role": "assistant", "content": "Hello", "tool_calls": []}, USER])[1] == {
        "role": "assistant",
        "content": "Hello",
    }


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ({"content": "Paris.", "reasoning_content": "Hm."}, "Paris."),
        ({"content": "Paris.", "reasoning": "Hm.", "reasoning_details": []}, "Paris."),
        ({"content": "<think>Hm.</think>\n\nParis."}, "Paris."),
        ({"content": "\n\nParis."}, "Paris."),
        ({"content": "The tag </think> ends it."}, "The tag </think> ends it."),
    ],
)
def test_reasoning_is_stripped(message: dict[str, Any], content: str) -> None:
    assert wire([USER, {"role": "assistant", **message}, USER])[1] == {"role": "assistant", "content": content}


def test_reasoning_is_kept_where_the_host_wants_it_back() -> None:
    message = {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "a", "content": "1"}
    assert wire([USER, message, result], KEEPING)[1] == message


def test_arguments_become_json_text() -> None:
    call = {"id": "a", "function": {"name": "f", "arguments": {"city": "Köln"}}}
    sent: Any = wire(
        [USER, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "a", "content": ""}]
    )
    assert sent[1]["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"city": "Köln"}'}}
    ]
    assert sent[1]["content"] is None


def test_a_default_system_message_is_added_only_where_there_is_none() -> None:
    local = HostProfile.named("local")
    assert wire("Hi", local)[0] == {"role": "system", "content": local.default_system}
    own = [{"role": "system", "content": "Be brief."}, USER]
    assert wire(own, local) == own


def test_successive_roles_are_merged_where_the_host_refuses_them() -> None:
    merging = VLLM.model_copy(update={"merge_roles": True})
    assert wire([USER, {"role": "user", "content": "there"}], merging) == [{"role": "user", "content": "Hi\n\nthere"}]
    assert len(wire([USER, USER])) == 2


def test_unknown_keys_pass_and_empty_ones_do_not() -> None:
    assert wire([{**USER, "name": "Eve", "refusal": None}]) == [{**USER, "name": "Eve"}]


WRONG: list[tuple[Any, str]] = [
    ([], "no messages"),
    ("", "blank"),
    (" \n", "blank"),
    ([{"role": "user", "content": "  "}], "blank"),
    (7, "list of messages"),
    (b"Hi", "list of messages"),
    (None, "list of messages"),
    ({"role": "user"}, "list of messages"),
    (["Hi"], r"messages\[0\] is a str"),
    ([{"content": "Hi"}], "role None"),
    ([{"role": "developer", "content": "Hi"}], "'system'"),
    ([{"role": "bot", "content": "Hi"}], "role 'bot'"),
    ([{"role": "user"}], "no content"),
    ([{"role": "user", "content": 7}], "int"),
    ([{"role": "user", "content": [7]}], "text parts"),
    ([{"role": "user", "content": "\ud800"}], "lone surrogate"),
    ([{"role": "system", "content": "Be brief."}], "user message"),
    ([USER, {"role": "assistant", "content": "Hello"}], "ends with an answer"),
    ([USER, {"role": "assistant"}, USER], "no content"),
    ([USER, {"role": "assistant", "tool_calls": [{"id": "a"}]}, USER], "function"),
    ([USER, {"role": "assistant", "tool_calls": "f"}, USER], "list"),
    ([USER, {"role": "tool", "content": "1"}], "tool_call_id"),
    ([USER, {"role": "tool", "content": "1", "tool_call_id": "a"}], "no earlier"),
]


@pytest.mark.parametrize(("messages", "told"), WRONG)
def test_what_is_wrong_is_told(messages: Any, told: str) -> None:
    with pytest.raises(InvalidRequestError, match=told):
        wire_messages(messages, VLLM)


def test_pictures_are_refused() -> None:
    with pytest.raises(UnsupportedFeature, match="text only"):
        wire([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}])


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["role", "content", "tool_calls", "id", "function", "name", "arguments", "type", "text"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=10,
    )
)
def test_anything_is_sent_or_refused_by_our_own_errors(value: Any) -> None:
    try:
        wire_messages(value, VLLM)
    except InvalidRequestError:
        return


def test_the_last_question_is_replaced_in_a_copy() -> None:
    messages = wire([USER, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Why {this}?"}])
    assert question_of(messages) == "Why {this}?"
    asked = with_question(messages, "Think: Why?")
    assert [message["content"] for message in asked] == ["Hi", "Hello", "Think: Why?"]
    assert messages[-1]["content"] == "Why {this}?"
