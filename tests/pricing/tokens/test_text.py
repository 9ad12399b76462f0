"""Plain text to tokens and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift_pricing.errors import InvalidRequestError
from deepthrift_pricing.tokens import SPECIAL_TOKENS, count_batch, count_text, decode, encode, vocabulary
from tests.support import token_goldens

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def test_encodes_as_the_reference_does() -> None:
    goldens = token_goldens.load()["texts"]
    assert len(goldens) > 400
    assert [text for text, ids in goldens if encode(text) != ids] == []
    assert [text for text, ids in goldens if decode(ids) != text] == []


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Hello, world!", [19923, 14, 2058, 3]),
        ("你好，世界", [30594, 303, 3427]),
        ("1234567890", [6895, 18009, 25744, 18]),
    ],
)
def test_encodes_the_published_examples(text: str, ids: list[int]) -> None:
    assert encode(text) == ids


@given(ANY_TEXT)
def test_decoding_undoes_encoding(text: str) -> None:
    ids = encode(text)
    assert decode(ids) == text
    assert count_text(text) == len(ids)


@given(ANY_TEXT, st.sampled_from(list(SPECIAL_TOKENS)), ANY_TEXT)
def test_text_never_becomes_a_special_token(before: str, literal: str, after: str) -> None:
    text = before + literal + after
    assert not set(encode(text)) & set(SPECIAL_TOKENS.values())
    assert decode(encode(text)) == text


def test_a_special_token_decodes_to_its_text() -> None:
    for text, token_id in SPECIAL_TOKENS.items():
        assert decode([token_id]) == text


@given(st.lists(ANY_TEXT))
def test_a_batch_counts_like_its_texts(texts: list[str]) -> None:
    assert count_batch(texts) == [count_text(text) for text in texts]


def test_ids_that_were_changed_are_not_given_out_again() -> None:
    text = "The ids of a text of some length are kept for a moment. " * 40
    ids = encode(text)
    wanted = list(ids)
    ids.clear()
    assert encode(text) == wanted
    assert len(wanted) == count_text(text)


def test_a_lone_surrogate_counts_as_the_replacement_character() -> None:
    assert encode("a\ud83d b") == encode("a\ufffd b")


@pytest.mark.parametrize("ids", [[-1], [128_815], [200_000], [2**40], ["a"], [None]])
def test_what_is_no_token_id_is_refused(ids: list[int]) -> None:
    with pytest.raises(InvalidRequestError, match=r"not token ids of V3\.1"):
        decode(ids)


def test_bytes_that_are_not_text_decode_to_the_replacement_character() -> None:
    lead_byte = vocabulary().ranks()[b"\xc3"]
    assert decode([lead_byte]) == "\ufffd"


@pytest.mark.parametrize(
    ("unit", "after", "tokens"),
    [
        (" ", "x", 9_377),
        ("\u200d", "a", 600_002),
        ("\u3040", "あ", 2_400_001),
        *(
            pytest.param(*run, marks=pytest.mark.slow)
            for run in (
                (" ", "", 9_375),
                (" ", "中", 9_376),
                (" ", "!", 9_377),
                ("\u200d", "", 600_000),
                ("\n", "x", 75_001),
                ("\t", "\n", 150_001),
                ("a", "", 150_000),
                ("1", "", 400_000),
            )
        ),
    ],
)
def test_a_run_of_a_million_characters_is_counted(unit: str, after: str, tokens: int) -> None:
    """The regex engine gives up at a million ways back; a model that only writes white space gets there."""
    assert count_text(unit * 1_200_000 + after) == tokens
