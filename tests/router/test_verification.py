"""Evidence moves a belief by what was measured, and by nothing where nothing was."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift_pricing import Money
from deepthrift_router import Belief, parse_answer
from deepthrift_router._answers.hedging import hedging_of
from deepthrift_router._belief.likelihoods import Likelihoods
from deepthrift_router._belief.verification import Verification, extent_of

FREE = Money.zero()
EVEN = Belief((0.4, 0.05, 0.25, 0.3))

cells = st.tuples(*[st.floats(0.01, 1.0)] * 4).map(Belief.of)


def seen(*texts: str, question: str = "", belief: Belief = EVEN) -> Verification:
    verification = Verification(belief, 0.0, Likelihoods.builtin())
    verification.start(parse_answer(texts[0], question), FREE)
    for text in texts[1:]:
        verification.sample(parse_answer(text, question), FREE)
    return verification


def test_every_table_is_a_distribution() -> None:
    likelihoods = Likelihoods.builtin()
    for name, data in likelihoods.signals.items():
        assert all(0 <= temper <= 1 for temper in data.temper), name
        for table in data.tables.values():
            for case in range(4):
                assert math.isclose(sum(chances[case] for chances in table.values()), 1, abs_tol=0.002), name
    for shares in likelihoods.switch:
        assert math.isclose(sum(shares), 1, abs_tol=0.002)


def test_agreement_raises_and_disagreement_lowers() -> None:
    alone = seen("42").belief
    assert seen("42", "42.0").belief.p_standard > alone.p_standard > seen("42", "43").belief.p_standard
    assert seen("42", "43").belief.gain > alone.gain > seen("42", "42").belief.gain


def test_agreement_on_one_of_two_choices_says_less_than_on_a_long_answer() -> None:
    question = "Which one?\nA. this\nB. that"
    closed = seen("A", "A", question=question)
    open_ended = seen("17 4 9 12 33 5", "17, 4, 9, 12, 33, 5")
    assert closed.evidence[-1].weight is not None
    assert open_ended.evidence[-1].weight is not None
    assert closed.evidence[-1].weight < open_ended.evidence[-1].weight


def test_a_third_sample() -> None:
    assert seen("42", "42", "42").belief.p_standard > seen("42", "42").belief.p_standard
    assert seen("42", "42", "43").belief.p_standard < seen("42", "42").belief.p_standard
    sided = seen("42", "43", "43")
    assert sided.chosen == 1
    assert sided.agreed
    assert sided.evidence[-1].outcome == "with_second"
    assert sided.evidence[-1].p_standard == sided.belief.p_standard
    assert seen("42", "43", "42").chosen == 0
    assert seen("42", "43", "44").evidence[-1].outcome == "with_neither"


def test_a_signal_without_data_has_no_weight() -> None:
    verification = Verification(EVEN, 0.0, Likelihoods.builtin())
    verification.observe("log-probabilities", "low", FREE)
    assert verification.belief == EVEN
    assert verification.evidence[0].weight is None
    assert verification.missing == ["log-probabilities: no recorded outcomes, so it has no weight"]


def test_decisive_evidence_leaves_only_thinking() -> None:
    verification = Verification(EVEN, 0.0, Likelihoods.builtin())
    verification.observe("finish", "truncated", FREE, decisive=True)
    assert verification.belief.p_standard == 0
    assert verification.belief.p_thinking == pytest.approx(EVEN.p_thinking)
    assert verification.prospects(3) == ()


def test_open_text_cannot_be_sampled() -> None:
    verification = seen("The sea was calm that evening and the boats came home. " * 10)
    assert verification.prospects(3) == ()
    assert verification.belief == EVEN


@given(cells, st.sampled_from(["42", "yes", "Paris", "1 2 3 4 5 6 7 8 9"]), st.integers(2, 3))
def test_what_is_expected_of_a_sample_is_what_is_believed(belief: Belief, answer: str, samples: int) -> None:
    """The chances of the outcomes add up to one, at every level."""
    verification = seen(answer, belief=belief)
    ahead = verification.prospects(samples)
    assert sum(each.chance for each in ahead) == pytest.approx(1, abs=0.01)
    assert all(bool(each.further) == (samples > 2) for each in ahead)
    for each in ahead:
        assert sum(each.after.cells) == pytest.approx(1)
        if each.further:
            assert sum(third.chance for third in each.further) == pytest.approx(1, abs=0.01)


@given(cells, st.tuples(*[st.floats(0.001, 1.0)] * 4))
def test_bayes(belief: Belief, likelihood: tuple[float, float, float, float]) -> None:
    after = belief.given(likelihood)
    assert sum(after.cells) == pytest.approx(1)
    expected = belief.cells[0] * likelihood[0] / belief.chance(likelihood)
    assert after.cells[0] == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert belief.given(likelihood, 0.0).cells == pytest.approx(belief.cells)


def test_extents() -> None:
    found = {text: parse_answer(text) for text in ("7", "1234", "[1, 2, 3, 4]", "yes", "C")}
    names = {text: extent_of(answer) for text, answer in found.items() if answer is not None}
    assert names == {"7": "1-2", "1234": "3-4", "[1, 2, 3, 4]": "9-16", "yes": "closed", "C": "closed"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Paris.", "plain"),
        ("It is Paris, without doubt.", "plain"),
        ("It might be Paris.", "hedged"),
        ("I'm not sure, but Paris.", "hedged"),
        ("Wait, that is wrong. Paris.", "hedged"),
        ("I'm sorry, I cannot help with that.", "refused"),
        ("As an AI I have no view.", "refused"),
    ],
)
def test_hedging(text: str, expected: str) -> None:
    assert hedging_of(text) == expected
