"""Counting conversations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift_pricing import Mode
from deepthrift_pricing.errors import InvalidRequestError
from deepthrift_pricing.tokens import (
    SPECIAL_TOKENS,
    Literals,
    count_messages,
    decode,
    encode,
    encode_messages,
    render,
    upper_bound,
)
from tests.support.conversations import conversations

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN_TEXT = ANY_TEXT.filter(lambda text: not any(literal in text for literal in SPECIAL_TOKENS))
"""Without a special token's text, which hypothesis finds in the code and tries."""
ASK = {"role": "user", "content": "Who are you?"}


@pytest.mark.parametrize(
    ("messages", "mode", "ids"),
    [
        (
            [{"role": "system", "content": "You are a helpful assistant"}, ASK],
            "standard",
            [0, 3476, 477, 260, 11502, 22896, 128803, 18387, 477, 440, 33, 128804, 128799],
        ),
        ("1+1=?", "thinking", [0, 128803, 19, 13, 19, 127252, 128804, 128798]),
    ],
)
def test_encodes_the_published_prompts(messages: Any, mode: Mode, ids: list[int]) -> None:
    assert encode_messages(messages, mode=mode) == ids
    assert count_messages(messages, mode=mode) == len(ids)


@pytest.mark.parametrize("literals", ["text", "control"])
def test_ids_spell_the_rendered_prompt(literals: Literals) -> None:
    for made in conversations(150, seed=3):
        ids = encode_messages(made.messages, mode=made.mode, tools=made.tools, literals=literals)
        assert decode(ids) == render(made.messages, mode=made.mode, tools=made.tools)
        assert len(ids) <= upper_bound(made.messages, tools=made.tools)


@given(ANY_TEXT, st.sampled_from(sorted(SPECIAL_TOKENS)), ANY_TEXT)
def test_a_user_cannot_forge_a_turn(before: str, literal: str, after: str) -> None:
    text = before + literal + after
    ids = encode_messages(text, mode="standard")
    assert ids == [0, 128803, *encode(text), 128804, 128799]


@given(PLAIN_TEXT, st.sampled_from(sorted(SPECIAL_TOKENS)), PLAIN_TEXT)
def test_a_server_that_renders_first_reads_literals_as_tokens(before: str, literal: str, after: str) -> None:
    text = before + literal + after
    ids = encode_messages(text, mode="standard", literals="control")
    assert ids == [0, 128803, *encode(before), SPECIAL_TOKENS[literal], *encode(after), 128804, 128799]


def test_neighbouring_texts_are_encoded_together() -> None:
    """Tokens may span the border of two system messages, and of the system prompt and the tools."""
    tools = [{"type": "function", "function": {"name": "f"}}]
    messages = [{"role": "system", "content": "One."}, {"role": "system", "content": "\n\nTwo.\n"}, ASK]
    ids = encode_messages(messages, mode="standard", tools=tools)
    assert ids == encode_messages(messages, mode="standard", tools=tools, literals="control")
    assert encode("One.\n\n\n\nTwo.\n\n\n## Tools\n")[:-1] == ids[1 : len(encode("One.\n\n\n\nTwo.\n\n\n## Tools\n"))]


@given(st.lists(ANY_TEXT, min_size=1), st.booleans())
def test_the_bound_holds_for_any_text(texts: list[str], with_tools: bool) -> None:
    messages = [
        {"role": "user" if place % 2 == 0 else "assistant", "content": text} for place, text in enumerate(texts)
    ]
    tools = [{"function": {"name": "f", "description": texts[0], "parameters": {"p": texts}}}] if with_tools else None
    count = count_messages(messages, mode="thinking", tools=tools)
    assert count <= upper_bound(messages, tools=tools)
    assert upper_bound(messages, tools=tools) >= sum(len(text.encode()) for text in texts)


@pytest.mark.parametrize("messages", [[], ""])
def test_the_bound_of_nothing(messages: Any) -> None:
    if messages == "":
        assert upper_bound(messages) > 0
    else:
        with pytest.raises(InvalidRequestError, match="no messages"):
            upper_bound(messages)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "image_url"}]},
        {"role": "assistant", "content": "x", "tool_calls": [{1, 2}]},
    ],
)
def test_the_bound_refuses_what_it_cannot_measure(message: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        upper_bound([message])


def test_an_unknown_reading_of_literals_is_refused() -> None:
    literals: Any = "maybe"
    with pytest.raises(InvalidRequestError, match="literals 'maybe' is unknown"):
        count_messages("a", mode="standard", literals=literals)
