"""A conversation counts itself, fits a limit without breaking tool pairs, and survives being saved."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift._client.conversation import Conversation
from deepthrift._types.messages import Message
from deepthrift.errors import ContextLengthExceeded, InvalidRequestError

TOOL_TURN: list[Message] = [
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    },
    {"role": "tool", "tool_call_id": "b", "content": "2"},
    {"role": "tool", "tool_call_id": "a", "content": "1"},
    {"role": "assistant", "content": "Fine.", "reasoning_content": "Hm."},
]


def test_it_counts_as_v31_does() -> None:
    assert Conversation(system="You are a helpful assistant").user("Who are you?").count_tokens(mode="standard") == 13


def test_a_tool_result_needs_a_call_that_waits_for_it() -> None:
    talk = Conversation(TOOL_TURN[:2])
    with pytest.raises(InvalidRequestError, match="no tool call waits"):
        talk.tool_result("c", "3")
    talk.tool_result("b", "2")
    with pytest.raises(InvalidRequestError, match="no tool call waits"):
        talk.tool_result("b", "2")


@pytest.mark.parametrize("message", [{"role": "user"}, {"role": "robot", "content": "x"}, {"content": "x"}, 3])
def test_what_is_no_message_is_refused(message: object) -> None:
    with pytest.raises(InvalidRequestError, match="message"):
        Conversation().append(cast("Message", message))


def long_talk(turns: int) -> Conversation:
    talk = Conversation(system="Be brief.")
    for number in range(turns):
        talk.user(f"Question {number}: what is the capital of country {number}?").assistant("Unknown.")
        if number % 3 == 0:
            for message in TOOL_TURN:
                talk.append(message)
    return talk.user("And now?")


@given(turns=st.integers(1, 30), room=st.integers(40, 900))
def test_trimming_keeps_the_system_the_last_turn_and_whole_tool_pairs(turns: int, room: int) -> None:
    talk = long_talk(turns)
    before = list(talk)
    dropped = talk.trim(room, mode="standard")
    assert talk.count_tokens(mode="standard") <= room
    assert talk[0] == before[0]
    assert talk[-1] == before[-1]
    assert [*before[:1], *dropped, *list(talk)[1:]] == before
    if dropped:
        assert dropped[0]["role"] == "user"
        assert cast("Message", talk[1])["role"] == "user"
    Conversation(list(talk))  # every tool result still has its call


def test_trimming_leaves_room_so_that_the_prefix_stays_for_a_while() -> None:
    talk = long_talk(30)
    assert talk.trim(600, mode="standard")
    assert talk.count_tokens(mode="standard") <= 450
    start = list(talk)[:6]
    for number in range(4):
        talk.user(f"{number}?").assistant("Yes.").user("Go on.")
        assert talk.trim(600, mode="standard") == []
        assert list(talk)[:6] == start


def test_a_last_turn_too_long_drops_nothing_and_says_so() -> None:
    talk = long_talk(3)
    talk.user("word " * 500)
    before = list(talk)
    with pytest.raises(ContextLengthExceeded, match="last turn"):
        talk.trim(100, mode="standard")
    assert list(talk) == before


def test_it_comes_back_as_it_was_saved_and_only_the_owner_can_read_it(tmp_path: Path) -> None:
    talk = Conversation(TOOL_TURN, system="é")
    path = tmp_path / "talk.json"
    path.write_text("old")
    talk.save(path)
    assert list(Conversation.load(path)) == list(talk)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["talk.json"]


@pytest.mark.parametrize("content", ["{", "{}", '"text"', '{"deepthrift_conversation": 9, "messages": []}', "[1]"])
def test_a_file_that_is_no_conversation_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "talk.json"
    path.write_text(content)
    with pytest.raises(InvalidRequestError):
        Conversation.load(path)
    path.write_text(json.dumps(TOOL_TURN[:1]))
    assert len(Conversation.load(path)) == 1
