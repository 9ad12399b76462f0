"""Log-probabilities that cannot be read are missing; the answer they belong to is not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift._wire.events.chunk import parse_chunk
from deepthrift._wire.reply.logprobs import LogprobReader

NAMES = st.sampled_from(["content", "token", "logprob", "top_logprobs", "tokens", "token_logprobs"])


def read(value: object) -> LogprobReader:
    reader = LogprobReader()
    reader.add(value)
    return reader


def in_answer(text: str) -> LogprobReader:
    """What a chunk with this JSON as its `logprobs` gives."""
    chunk = parse_chunk(b'{"choices":[{"message":{"content":"Hi"},"logprobs":%b}]}' % text.encode())
    assert chunk.choices is not None
    return read(chunk.choices[0].logprobs)


@pytest.mark.parametrize(
    "number", ["null", "-Infinity", "NaN", "Infinity", "-9999.0", '"-inf"', '"x"', "{}", "true", "1e999"]
)
def test_a_number_that_says_nothing_is_missing(number: str) -> None:
    top = f'[{{"token":"a","logprob":{number}}},{{"token":"b","logprob":-1}}]'
    entry = f'{{"token":"Hi","logprob":{number},"top_logprobs":{top}}}'
    (token,) = in_answer(f'{{"content":[{entry}]}}').text() or ()
    assert (token.token, token.logprob, token.top, token.probability) == ("Hi", None, (("b", -1.0),), 0.0)
    token.model_dump_json()


def test_the_older_form() -> None:
    found = in_answer(
        '{"tokens":["a","b"],"token_logprobs":[null,-0.5],"top_logprobs":[null,{"b":-0.5,"c":null}]}'
    ).text()
    assert found is not None
    assert [(token.token, token.logprob, token.top) for token in found] == [
        ("a", None, ()),
        ("b", -0.5, (("b", -0.5),)),
    ]


def test_a_character_of_two_tokens_is_joined() -> None:
    tokens = [{"token": token, "logprob": -1} for token in ("a", "\ud83d", "\ude00", "b", "\ud83d")]
    found = read({"content": tokens}).text() or ()
    assert [token.token for token in found] == ["a", "", "\U0001f600", "b", "\ufffd"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
        max_leaves=20,
    )
)
def test_no_shape_is_an_error(value: object) -> None:
    reader = in_answer(json.dumps(value))
    for token in (reader.text() or ()) + (reader.reasoning() or ()):
        token.model_dump_json()
