"""Counting text that arrives in pieces."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from deepthrift_pricing.tokens import TextCounter, count_text
from tests.support import token_goldens
from tests.support.corpus import INVISIBLE, KANA_AND_HAN, LETTERS, NUMBERS, PUNCTUATION, WHITE

PIECES = st.lists(
    st.text(st.sampled_from(WHITE + NUMBERS + KANA_AND_HAN + LETTERS + PUNCTUATION + INVISIBLE), max_size=8)
)


@given(PIECES)
@example([" ", "a"])
@example(["a", "\u0301"])
@example(["12", "3", "4"])
@example(["\n", " ", "\n", "x"])
@example(["\u3040", "\u3042"])
@example(["\ud83d", "\ude00"])
def test_pieces_count_like_the_whole_at_every_moment(pieces: list[str]) -> None:
    counter = TextCounter()
    whole = ""
    for piece in pieces:
        counter.feed(piece)
        whole += piece
        assert counter.count == count_text(whole)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_pieces_count_like_the_whole(pieces: list[str]) -> None:
    counter = TextCounter()
    for piece in pieces:
        counter.feed(piece)
    assert counter.count == count_text("".join(pieces))


def test_single_characters_of_the_goldens_count_like_the_whole() -> None:
    for text, ids in token_goldens.load()["texts"]:
        counter = TextCounter()
        for character in text:
            counter.feed(character)
        assert counter.count == len(ids)


def test_only_the_end_of_a_long_text_is_kept() -> None:
    """The cost of a piece must not grow with what came before."""
    counter = TextCounter()
    longest = 0
    for word in ["The", " quick", " brown", " 狐", "は", "、", "12", " jumps", ".\n"] * 2_000:
        counter.feed(word)
        longest = max(longest, len(counter._open))
    assert longest < 20
    assert counter.count > 18_000
