"""Recorded outcomes: reading them, grading them, the figures, and their drawings."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift.errors import ConfigurationError
from deepthrift_pricing import PriceBook
from deepthrift_router.evaluation import (
    ChoiceGrader,
    CodeGrader,
    Evaluation,
    ExactGrader,
    Extra,
    JudgeGrader,
    NumericGrader,
    Outcome,
    RegexGrader,
    ReplayServer,
    area_under_roc,
    calibration_error,
    evaluate,
    grade_outcomes,
    grader_named,
    judge,
    read_outcomes,
    reliability,
    write_html,
    write_outcomes,
    write_png,
)
from deepthrift_router.evaluation._metrics import Ranking
from tests.router.recorded import made_up

QUESTION = "Which is largest?\nA) Mars\nB) Jupiter\nC) Venus"


@pytest.fixture(scope="module")
def figures() -> Evaluation:
    return evaluate(judge(made_up()), draws=40)


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = made_up(5)
    for name in ("rows.jsonl", "rows.jsonl.gz"):
        assert write_outcomes(tmp_path / name, rows) == 5
        assert read_outcomes(tmp_path / name) == rows


def test_null_is_not_recorded_and_unknown_fields_are_kept(tmp_path: Path) -> None:
    raw = {
        "id": "a",
        "query": "1+1?",
        "standard_correct": 1,
        "thinking_correct": None,
        "standard_extra": None,
        "note": 3,
    }
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(json.dumps(raw).encode()))
    (row,) = read_outcomes(tmp_path / "rows.jsonl.gz")
    assert (row.standard_right, row.graded, row.standard_extra) == (True, False, Extra())
    assert json.loads(row.model_dump_json())["note"] == 3


@pytest.mark.parametrize("text", ['{"id": 1', '{"query": "no id"}', '{"id": "a", "standard_correct": "often"}'])
def test_a_wrong_line_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": "fine"}\n' + text + "\n")
    with pytest.raises(ConfigurationError, match="line 2"):
        read_outcomes(tmp_path / "rows.jsonl")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_outcomes(tmp_path / "none.jsonl")


async def test_graders() -> None:
    assert await ExactGrader().grade("", "The answer is 1,234.50 USD.", "$1234.5") == 1
    assert await ExactGrader().grade("", "Paris", "Rome") == 0
    assert await NumericGrader(0.01).grade("", "It is 3.14", "3.1416") == 1
    assert await NumericGrader().grade("", "It is 3.2", "3.1416") == 0
    assert await NumericGrader().grade("", "no number", "3") == 0
    assert await ChoiceGrader().grade(QUESTION, "Answer: (B)", "B") == 1
    assert await ChoiceGrader().grade(QUESTION, "Jupiter", "B") == 1
    assert await ChoiceGrader().grade(QUESTION, "Answer: C", "B") == 0
    assert await RegexGrader().grade("", "built in 1889", r"\b1889\b") == 1
    assert await JudgeGrader(lambda question, answer, reference: answer == reference).grade("", "x", "x") == 1
    with pytest.raises(ConfigurationError, match="regular expression"):
        await RegexGrader().grade("", "x", "(")
    with pytest.raises(ConfigurationError, match="not a grader"):
        grader_named("guess")  # type: ignore[arg-type]


async def test_code_is_graded_by_running_its_tests() -> None:
    grader, tests = CodeGrader(), "assert double(4) == 8"
    assert await grader.grade("", "```python\ndef double(x):\n    return 2 * x\n```", tests) == 1
    assert await grader.grade("", "```python\ndef double(x):\n    return x\n```", tests) == 0
    assert await grader.grade("", "import sys\nsys.exit(0)", tests) == 0


async def test_what_has_no_grade_is_graded_and_the_rest_stays() -> None:
    bare = [row.model_copy(update={"standard_correct": None, "standard_samples_correct": None}) for row in made_up(10)]
    graded = await grade_outcomes(bare, grader_named("numeric"))
    for row, before in zip(graded, made_up(10), strict=True):
        assert row.standard_correct == before.standard_correct
        assert row.standard_samples_correct == before.standard_samples_correct
        assert row.thinking_correct == before.thinking_correct


def test_the_figures_hang_together(figures: Evaluation) -> None:
    names = [rule.name for rule in figures.rules]
    assert names[0] == "the router, three samples"
    assert {"prompt length", "random", "two samples, escalate when they differ"} <= set(names)
    for rule in figures.rules:
        ends = rule.curve[0], rule.curve[-1]
        assert ends[-1].accuracy.value == pytest.approx(figures.thinking.value)
        assert ends[-1].pgr is not None
        assert ends[-1].pgr.value == pytest.approx(1)
        for point in rule.points:
            assert point.accuracy.low <= point.accuracy.value <= point.accuracy.high
    best = next(rule for rule in figures.rules if rule.name.startswith("perfect gain"))
    for rule in (each for each in figures.rules if each.calls == "1 − share"):
        for point, bound in zip(rule.curve, best.curve, strict=True):
            assert point.accuracy.value <= bound.accuracy.value + 1e-9
    random = next(rule for rule in figures.rules if rule.name == "random")
    assert random.apgr is not None
    assert random.apgr.value == pytest.approx(0.5)
    assert random.curve[0].accuracy.value == pytest.approx(figures.standard.value)
    assert Evaluation.model_validate_json(figures.model_dump_json()) == figures


def test_more_thinking_costs_more(figures: Evaluation) -> None:
    at = datetime(2025, 9, 10, tzinfo=UTC)
    price = PriceBook.named("brief").find(host="vllm", model=ReplayServer.model, mode="standard", at=at)
    priced = evaluate(judge(made_up(20)), draws=2, prices=(price, price))
    for rule in priced.rules:
        costs = [point.cost for point in rule.curve if point.cost is not None]
        assert len(costs) == len(rule.curve)
        assert all(one <= other for one, other in pairwise(costs))
    # The router pays for its samples: where all questions think, it has spent more than always-thinking.
    router = priced.rules[0].curve[-1].tokens
    assert router is not None
    assert router > 1
    assert figures.rules[0].points[0].cost is None


def test_without_grades_there_is_nothing_to_evaluate() -> None:
    with pytest.raises(ConfigurationError, match="grade"):
        evaluate(judge([Outcome(id="a", query="?")]))


def test_drawings(figures: Evaluation, tmp_path: Path) -> None:
    curve, diagram = write_png(figures, tmp_path / "drawn")
    assert curve.read_bytes()[:8] == diagram.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    page = write_html(figures, tmp_path / "page.html", title="<ours>").read_text("utf-8")
    assert page.count("<svg") == 2
    assert "&lt;ours&gt;" in page
    assert not [word for word in ("<script", "src=", "@import", "<link") if word in page]
    assert "the router, three samples" in page


scores = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=2, max_size=30)


@given(scores, st.randoms(use_true_random=False))
def test_auc_is_the_share_of_pairs_in_order(values: list[float], random: object) -> None:
    positive = [index % 3 == 0 for index in range(len(values))]
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a, p in zip(values, positive, strict=True)
        for b, q in zip(values, positive, strict=True)
        if p and not q
    ]
    assert area_under_roc(values, positive) == pytest.approx(sum(pairs) / len(pairs))


@given(scores)
def test_reliability_covers_everything(values: list[float]) -> None:
    right = [index % 2 == 0 for index in range(len(values))]
    bins = reliability(values, right)
    assert sum(each.count for each in bins) == len(values)
    assert 0 <= calibration_error(values, right) <= 1


@given(scores, st.floats(0, 1))
def test_a_ranking_shares_ties_out(values: list[float], share: float) -> None:
    ones = [1] * len(values)
    kept, taken = [0.0] * len(values), [1.0] * len(values)
    assert Ranking.of(values).at([share], kept, taken, ones)[0] == pytest.approx(share)
