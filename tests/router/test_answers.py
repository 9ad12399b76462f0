"""Answers are compared by what they say."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from deepthrift_router import Prior, normal_form, parse_answer, same_answer

FRANCE = "What is the capital of France?"
CHOICE = "Which planet is the largest?\nA. Mars\nB. Jupiter\nC. Venus\nD. Saturn"


def same(a: str, b: str, question: str = "") -> bool:
    first, second = parse_answer(a, question), parse_answer(b, question)
    assert first is not None, a
    assert second is not None, b
    assert same_answer(first, second) == same_answer(second, first)
    return same_answer(first, second)


@pytest.mark.parametrize(
    ("a", "b", "question"),
    [
        ("1,234", "1234", ""),
        ("1234.0", "1234", ""),
        ("1.234,5", "1234.5", ""),
        ("1 234 567", "1,234,567", ""),
        ("50%", "50 percent", ""),
        ("50%", "0.5", ""),
        ("$5", "5 dollars", ""),
        ("$1.5 million", "1,500,000 USD", ""),
        ("5 km", "5000 m", ""),
        ("90 minutes", "1.5 hours", ""),
        ("3/4", "0.75", ""),
        ("\\frac{3}{4}", "$\\dfrac{3}{4}$", ""),
        ("1.2e3", "1.2 × 10^3", ""),
        ("-5", "−5", ""),
        ("seven", "7", ""),
        ("twenty-one", "21", ""),
        ("about 7", "7", ""),
        ("3.14159", "3.14", ""),
        ("The answer is 42.", "42", ""),
        ("**42**", "`42`", ""),
        ("so many words here.\n\nFinal answer: 42", "<answer>42</answer>", ""),
        ("\\boxed{42}", "Answer: **42**", ""),
        ('```json\n{"reasoning": "long", "answer": "42"}\n```', "42", ""),
        ("Paris", "paris.", FRANCE),
        ("The capital of France is Paris.", "Paris", FRANCE),
        ("The capital of France is Paris.", "Paris is the capital of France.", FRANCE),
        ("There are 7 days in a week.", "7", "How many days are in a week?"),
        ("A week has 7 days.", "There are 7 days in a week.", "How many days are in a week?"),
        ("B", "(B)", CHOICE),
        ("B. Jupiter", "b)", CHOICE),
        ("Jupiter", "B", CHOICE),
        ("Yes", "yes.", ""),
        ("True", "Yes", ""),
        ("March 5, 2024", "2024-03-05", ""),
        ("5th of March 2024", "Tuesday, March 5, 2024", ""),
        ('{"a": 1, "b": [1.0, 2]}', "{'b': [1, 2], 'a': 1}", ""),
        ("{3, 1, 2}", "{1, 2, 3}", ""),
        ("1 2 3\n4 5 6", "1, 2, 3\n4, 5, 6", ""),
        ("```python\ndef f(x):\n    # add\n    return x+1\n```", "```py\ndef f(x): return (x + 1)\n```", ""),
        ("```js\nreturn 1; // one\n```", "```js\nreturn 1;\n```", ""),
    ],
)
def test_the_same_answer_in_other_words(a: str, b: str, question: str) -> None:
    assert same(a, b, question)


@pytest.mark.parametrize(
    ("a", "b", "question"),
    [
        ("42", "43", ""),
        ("42", "-42", ""),
        ("5 km", "5 miles", ""),
        ("5 apples", "5 oranges", ""),
        ("$5", "€5", ""),
        ("0.95", "0.9", ""),
        ("3.14", "3.15", ""),
        ("The answer depends on 42 things.", "42", ""),
        ("Paris", "Berlin", FRANCE),
        ("The capital of France is Paris.", "The capital of France is Berlin.", FRANCE),
        ("It is Paris.", "It is not Paris.", FRANCE),
        ("Amy is taller than Bob.", "Bob is taller than Amy.", "Who is taller, Amy or Bob?"),
        ("B", "C", CHOICE),
        ("Yes", "No", ""),
        ("2024-03-05", "2024-05-03", ""),
        ("[1, 2, 3]", "[3, 2, 1]", ""),
        ("1 2 3", "1 3 2", ""),
        ("C → A → B", "C → B → A", "A: add\nB: subtract\nC: multiply"),
        ("-3.0 - 3.0i", "3.0 - 3.0i", ""),
        ("```python\nreturn x + 1\n```", "```python\nreturn x - 1\n```", ""),
        ("Move disk 1 from Peg 1 to Peg 2", "Move disk 1 from Peg 2 to Peg 1", "Move disk from Peg 1 to Peg 2"),
    ],
)
def test_another_answer_in_like_words(a: str, b: str, question: str) -> None:
    assert not same(a, b, question)


def test_open_prose_has_no_answer() -> None:
    prose = "The sea was calm that evening and the boats came home one after the other. " * 8
    assert parse_answer(prose, "Write a story about the sea.") is None
    assert parse_answer("", "") is None
    assert parse_answer("  \n", "") is None


def test_of_several_marked_answers_the_last_one_counts() -> None:
    text = "The answer is 5. Wait, that is wrong.\n\nAnswer: 6"
    found = parse_answer(text)
    assert found is not None
    assert found.form == "6"


def test_a_hostile_answer_is_only_text() -> None:
    for text in ("[" * 20_000, "9" * 5_000, "1e999999999", "1/0", "{" * 300 + "}" * 300, "\x00", "١٢٣", "²", "½"):
        parse_answer(text, text)
    assert parse_answer("```python\n" + "(" * 5_000 + "\n```") is not None


numbers = st.integers(min_value=-(10**12), max_value=10**12)


@given(numbers)
def test_an_integer_is_the_same_in_every_notation(value: int) -> None:
    plain = str(value)
    for other in (f"{value:,}", f"{value}.0", f"**{value}**", f"${value}$", f"\\boxed{{{value}}}", f"Answer: {value}"):
        assert same(plain, other)


@given(numbers, numbers)
def test_two_integers_are_two_answers(a: int, b: int) -> None:
    assume(a != b)
    assert not same(str(a), str(b))


@given(st.decimals(min_value=-(10**6), max_value=10**6, places=4, allow_nan=False))
def test_trailing_zeros_do_not_count(value: object) -> None:
    assert same(f"{value}", f"{value}00")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(string.ascii_letters, max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(string.ascii_letters, max_size=5), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(string.ascii_lowercase, min_size=1, max_size=5), json_values, min_size=1))
def test_json_is_the_same_in_any_order_and_layout(value: dict[str, object]) -> None:
    backwards = dict(reversed(value.items()))
    first, second = normal_form(json.dumps(value)), normal_form(json.dumps(backwards, indent=3))
    assert first is not None
    assert second is not None
    assert first.kind == "data"
    assert same_answer(first, second)


@given(st.text(max_size=300), st.text(max_size=100))
def test_any_text_is_the_same_as_itself(text: str, question: str) -> None:
    answer = parse_answer(text, question)
    if answer is not None:
        again = parse_answer(text, question)
        assert again is not None
        assert same_answer(answer, again)


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=60))
def test_agreement_has_no_direction(a: str, b: str, question: str) -> None:
    first, second = parse_answer(a, question), parse_answer(b, question)
    if first is not None and second is not None:
        assert same_answer(first, second) == same_answer(second, first)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("a" + "\n" * 30_000 + "b", "a b"),
        ("42" + " \n" * 15_000 + "Answer: 7", "7"),
        ("<answer>" * 4_900, None),
        ("<Answer>7</ANSWER>" + "<answer>" * 4_900, "7"),
        ("a\n" + "> * _ # " * 4_000, None),
        ("[0x" + "f" * 30_000 + "]", None),
        ("[" * 39_000, None),
    ],
    ids=["lines", "spaces", "open tags", "one tag", "marks", "a long number", "brackets"],
)
def test_a_text_that_has_run_wild_is_read_in_no_time(text: str, form: str | None) -> None:
    """Models run into loops until their tokens are used up; some of these took more than a minute."""
    found = parse_answer(text, "How many?")
    assert form is None or (found is not None and found.form == form)
    asked = parse_answer("42", text)
    assert asked is not None
    assert asked.form == "42"
    assert Prior.builtin().score(text).weight >= 0
