"""Reasoning inside the text, told apart at its closing tag."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift._wire.events.split import ThinkSplitter, late_close


def split(pieces: list[str], *, expected: bool) -> tuple[str, str]:
    splitter = ThinkSplitter(expected=expected)
    out = [part for piece in pieces for part in splitter.feed(piece)] + splitter.flush()
    return "".join(t for kind, t in out if kind == "reasoning"), "".join(t for kind, t in out if kind == "text")


CASES = [
    ("<think>Hm.</think>Paris.", False, ("Hm.", "Paris.")),
    ("\n <think>Hm.\n</think>\n\nParis.", False, ("Hm.\n", "Paris.")),
    ("Hm.</think>Paris.", True, ("Hm.", "Paris.")),
    ("<think>Hm.</think>Paris.", True, ("Hm.", "Paris.")),
    ("</think>Paris.", True, ("", "Paris.")),
    ("Paris.", False, ("", "Paris.")),
    ("A </think> tag ends it.", False, ("", "A </think> tag ends it.")),
    ("a < b and <thin", False, ("", "a < b and <thin")),
    ("Hm</thin</think>ok</think>!", True, ("Hm</thin", "ok</think>!")),
    ("never closed", True, ("never closed", "")),
    ("<think>never closed </thi", False, ("never closed </thi", "")),
    ("  \n", False, ("", "  \n")),
]


@pytest.mark.parametrize(("text", "expected", "parts"), CASES)
def test_cases(text: str, expected: bool, parts: tuple[str, str]) -> None:
    assert split([text], expected=expected) == parts
    assert split(list(text), expected=expected) == parts


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<", "/", "th", "ink>", "a", "\n", " ", "你"]), max_size=12),
    st.lists(st.integers(0, 100), max_size=8),
    st.booleans(),
)
def test_any_split_gives_the_same_parts(parts: list[str], places: list[int], expected: bool) -> None:
    text = "".join(parts)
    marks = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(marks)]
    assert split(pieces, expected=expected) == split([text], expected=expected)


@given(st.text(max_size=60))
def test_nothing_but_tags_and_blanks_is_lost(text: str) -> None:
    reasoning, answer = split([text], expected=False)
    assert "".join((reasoning + answer).split()) == "".join(text.replace("<think>", "", 1).split()) or "<think>" in text


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Hm, a capital.</think>Paris.", ("Hm, a capital.", "Paris.")),
        ("The tag `</think>` ends the reasoning.", None),
        ("It is written '</think>'.", None),
        ("No tag.", None),
    ],
)
def test_a_closing_tag_found_too_late(text: str, parts: tuple[str, str] | None) -> None:
    assert late_close(text) == parts
