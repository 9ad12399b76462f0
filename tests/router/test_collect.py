"""Outcomes are collected within a budget, survive a kill, and are what calibration reads."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from deepthrift import AsyncClient
from deepthrift.batch._lock import lock
from deepthrift.errors import AuthenticationFailed, BalanceExhausted, ConfigurationError, InsufficientBalance
from deepthrift_pricing import Budget, Ledger, Money
from deepthrift_router import ModeRouter, RouterStore, Sandbox
from deepthrift_router.evaluation import Outcome, read_outcomes
from deepthrift_router.labels import Collector, LiveEvaluation, ReferenceGrader, label_recorded, read_prompts
from tests.router.support import by_mode
from tests.support.bill_server import Answer, BillServer, Failure
from tests.support.doors import settings

PROMPTS = [
    {"query": "What is 17 * 23?", "reference": "391", "dataset": "sums"},
    {"prompt": "What is 2 + 2?", "answer": 4},
    "What is the capital of Australia?",
]
STANDARD, THINKING = Answer("391", logprob=-0.3), Answer("The answer is 391.", reasoning="Hm. " * 5)


def write(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


async def collect(
    server: BillServer, prompts: Path, out: Path, *, ledger: Ledger | None = None, client: Any = None, **kw: Any
) -> Any:
    own = ledger or Ledger.open("memory:")
    async with AsyncClient(**settings(server, ledger=own, max_retries=0, **(client or {}))) as opened:
        state = await Collector(opened, max_tokens=100, **kw).run(read_prompts(prompts), out)
    if ledger is None:
        own.close()
    return state


async def test_both_modes_samples_grades_and_log_probabilities(tmp_path: Path) -> None:
    prompts, out = write(tmp_path / "in.jsonl", PROMPTS), tmp_path / "out.jsonl"
    async with BillServer(by_mode([STANDARD, Answer("392"), STANDARD] * 3, THINKING)) as server:
        state = await collect(server, prompts, out, grader=ReferenceGrader("numeric"), at_once=1)
        assert state.spent.amount == server.bill.total
    assert (state.prompts, state.done, state.failed, state.stopped) == (3, 3, {}, None)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    rows = read_outcomes(out)
    assert len(rows) == 3
    first = next(row for row in rows if row.dataset == "sums")
    assert first.graded
    assert (first.standard_right, first.thinking_right) == (True, True)
    assert first.standard_samples_correct == (1.0, 0.0, 1.0)
    assert [answer.form if answer else None for answer in first.samples] == ["391", "392", "391"]
    assert first.standard_extra.logprobs is not None
    assert first.standard_extra.logprobs[0] == (-0.3,)
    assert first.thinking_tokens == 10
    assert not next(row for row in rows if "Australia" in row.query).graded


async def test_checks_and_other_endpoints_are_recorded(tmp_path: Path) -> None:
    def standard(request: Any) -> Answer:
        if request.mode_ran == "thinking":
            return THINKING
        if "program" in request.question:
            return Answer("```python\nprint(17 * 23)\n```")
        return Answer("Yes") if "right?" in request.question else STANDARD

    prompts, out = write(tmp_path / "in.jsonl", PROMPTS[:1]), tmp_path / "out.jsonl"
    ledger = Ledger.open("memory:")
    async with (
        BillServer(standard) as server,
        BillServer(Answer("400")) as second,
        AsyncClient(**settings(second, ledger=ledger)) as other,
    ):
        checks = ["program", "self_check", "margin"]
        grader = ReferenceGrader("exact")
        state = await collect(
            server, prompts, out, ledger=ledger, samples=1, checks=checks, others={"small": other}, grader=grader
        )
        assert state.spent.amount == server.bill.total + second.bill.total
        with pytest.raises(ConfigurationError, match="not a check"):
            Collector(other, checks=["guess"])  # type: ignore[list-item]
    [row] = read_outcomes(out)
    assert row.standard_extra.other_models == {"small": "400"}
    store = RouterStore()
    found = label_recorded(row, store, samples=1, checks=["small"])
    assert found is not None
    said = {signal: (condition, outcome) for signal, condition, outcome in found.evidence}
    assert said["program"] == ("3-4", "agree")
    assert said["self_check"] == ("3-4", "yes")
    assert said["cross_check"] == ("of 1", "disagree")
    assert "margin" not in said
    store.close()
    ledger.close()


async def test_it_goes_on_where_it_ended(tmp_path: Path) -> None:
    prompts, out = write(tmp_path / "in.jsonl", PROMPTS), tmp_path / "out.jsonl"
    async with BillServer(by_mode(STANDARD, THINKING)) as server:
        await collect(server, prompts, out)
        before = out.read_bytes()
        out.write_bytes(before[:-20])  # as a kill in the middle of a line leaves it
        asked = len(server.requests)
        state = await collect(server, prompts, out)
        assert len(server.requests) == asked + 4
    assert state.done == 3
    assert len(read_outcomes(out)) == 3
    descriptor = os.open(out, os.O_RDWR)
    assert lock(descriptor)
    async with BillServer(STANDARD) as server:
        with pytest.raises(ConfigurationError, match="another process"):
            await collect(server, prompts, out)
    os.close(descriptor)
    out.write_text("not an outcome\n")
    with pytest.raises(ConfigurationError, match="line 1"):
        async with BillServer(STANDARD) as server:
            await collect(server, prompts, out)


async def test_the_budget_holds_over_all_runs(tmp_path: Path) -> None:
    ledger = Ledger.open("memory:")
    prompts = write(tmp_path / "in.jsonl", [f"What is {number} + 1?" for number in range(12)])
    out = tmp_path / "out.jsonl"
    budget = Money.of("0.002")
    async with BillServer(by_mode(Answer("word " * 60), Answer("word " * 60, reasoning="word " * 30))) as server:
        for _ in range(3):
            state = await collect(server, prompts, out, ledger=ledger, budget=budget, samples=1)
            assert state.stopped is not None
            assert "raise the budget" in state.stopped
            assert state.stopped_by == "budget"
            assert state.spent.amount == server.bill.total
        assert server.bill.total <= budget.amount
        assert 0 < state.done < 12
    ledger.close()


async def test_what_a_cancelled_run_spent_counts(tmp_path: Path) -> None:
    ledger = Ledger.open("memory:")
    prompts, out = write(tmp_path / "in.jsonl", PROMPTS), tmp_path / "out.jsonl"
    async with BillServer(by_mode(STANDARD, Answer("391", hold=30.0))) as server:
        task = asyncio.ensure_future(collect(server, prompts, out, ledger=ledger, samples=1, at_once=1))
        await server.until(lambda seen: len(seen.bill.lines) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with BillServer(by_mode(STANDARD, THINKING)) as server:
        state = await collect(server, prompts, out, ledger=ledger, samples=1)
        assert state.spent.amount > server.bill.total
    assert all(attempt.status != "reserved" for attempt in ledger.attempts())
    ledger.close()


async def test_a_prompt_that_fails_is_tried_again(tmp_path: Path) -> None:
    prompts, out = write(tmp_path / "in.jsonl", PROMPTS[:1]), tmp_path / "out.jsonl"
    async with BillServer(Failure(503, "busy")) as server:
        state = await collect(server, prompts, out)
        assert list(state.failed.values()) == ["Overloaded: busy"] or "Overloaded" in next(iter(state.failed.values()))
    async with BillServer(STANDARD) as server:
        assert (await collect(server, prompts, out)).done == 1
    async with BillServer(Failure(401, "no key")) as server:
        with pytest.raises(AuthenticationFailed):
            await collect(server, write(tmp_path / "more.jsonl", ["Another?"]), tmp_path / "other.jsonl")


async def test_an_endpoint_that_is_left_alone_fails_no_prompt(tmp_path: Path) -> None:
    """Five failures open its circuit: what was not sent has not failed, and the next run asks it."""
    prompts, out = write(tmp_path / "in.jsonl", [f"What is {n} + 1?" for n in range(12)]), tmp_path / "out.jsonl"
    async with BillServer(Failure(503, "busy")) as server:
        state = await collect(server, prompts, out, at_once=1)
        assert len(server.requests) == len(state.failed) == 5
    assert state.stopped is not None
    assert "nothing was sent" in state.stopped
    assert state.stopped_by == "endpoint"
    async with BillServer(STANDARD) as server:
        assert (await collect(server, prompts, out)).done == 12


async def test_a_used_up_balance_ends_it(tmp_path: Path) -> None:
    prompts, out = read_prompts(write(tmp_path / "in.jsonl", PROMPTS)), tmp_path / "out.jsonl"
    questions = [outcome(reference="391")]
    async with BillServer(Failure(402, "empty")) as server, AsyncClient(**settings(server)) as client:
        with pytest.raises(InsufficientBalance):
            await client.chat("Hello", max_tokens=5)
        with pytest.raises(BalanceExhausted):
            await Collector(client, max_tokens=100).run(prompts, out)
        with pytest.raises(BalanceExhausted):
            await LiveEvaluation(ModeRouter(client), ReferenceGrader("numeric"), max_tokens=60).run(questions)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not JSON"),
        ("[1]", "neither"),
        ("{}", "neither a query"),
        ('{"query": "a", "standard_tokens": "x"}', "no prompt"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f'"A first one"\n{line}\n')
    with pytest.raises(ConfigurationError, match="line 2") as caught:
        read_prompts(path)
    assert problem in str(caught.value)
    path.write_text("\n")
    with pytest.raises(ConfigurationError, match="no prompt"):
        read_prompts(path)


def outcome(**fields: Any) -> Outcome:
    return Outcome(id="a", query="What is 17 * 23?", **fields)


def test_a_recorded_outcome_is_a_labelled_answer() -> None:
    store = RouterStore()
    row = outcome(
        standard_correct=1.0,
        thinking_correct=0.0,
        standard_answer="391",
        standard_extra={"sample_finals": ["391", "392", "392"], "logprobs": [[-0.1]]},
        standard_samples_correct=[1.0, 0.0, 0.0],
    )
    found = label_recorded(row, store)
    assert found is not None
    assert [signal for signal, _, _ in found.evidence] == ["hedging", "extent", "agreement", "third_sample", "logprobs"]
    assert (found.kept_right, found.thinking_right) == (False, False)  # the third sided with the second
    alone = label_recorded(row, store, samples=1)
    assert alone is not None
    assert (alone.kept_right, alone.process) == (True, "samples=1")
    assert label_recorded(outcome(standard_correct=1.0), store) is None
    store.close()


@pytest.mark.parametrize(
    ("grader", "text", "reference", "right"),
    [
        ("exact", "The answer is 1,234.50 USD.", "$1234.5", True),
        ("exact", "Paris", "London", False),
        ("numeric", "It comes to 0.25", "1/4", True),
        ("numeric", "Paris", "4", False),
        ("choice", "B", "B", True),
        ("choice", "B", "C", False),
        ("regex", "call 555-1234", r"\d{3}-\d{4}", True),
        ("regex", "no number", r"\d", False),
        ("code", "```python\ndef f(x):\n    return x + 1\n```", "assert f(1) == 2", True),
        ("code", "```python\ndef f(x):\n    return x\n```", "assert f(1) == 2", False),
        ("judge", "It is Paris", "Paris", True),
    ],
)
async def test_graders(grader: Any, text: str, reference: str, right: bool) -> None:
    async with BillServer([Answer(text), Answer("Yes.")]) as server, AsyncClient(**settings(server)) as client:
        reply = await client.chat("Which one?\nA. this\nB. that\nC. other", max_tokens=100)
        grading = ReferenceGrader(grader, judge=client, sandbox=Sandbox(seconds=10))
        question = "Which one?\nA. this\nB. that\nC. other" if grader == "choice" else "What?"
        assert await grading.grade(question, reply, reference) is right
        if grader == "judge":
            assert grading.spent is not None
            assert server.requests[-1].max_tokens == 4


async def test_a_grader_that_cannot_be() -> None:
    with pytest.raises(ConfigurationError, match="needs a client"):
        ReferenceGrader("judge")
    with pytest.raises(ConfigurationError, match="not a grader"):
        ReferenceGrader("best")  # type: ignore[arg-type]
    async with BillServer(Answer("x")) as server, AsyncClient(**settings(server)) as client:
        reply = await client.chat("What?", max_tokens=10)
        with pytest.raises(ConfigurationError, match="not a regular expression"):
            await ReferenceGrader("regex").grade("What?", reply, "(")


async def test_policies_are_compared_live() -> None:
    questions = [outcome(reference="391").model_copy(update={"id": str(number)}) for number in range(6)]
    standard = Answer("381")
    async with BillServer(by_mode(standard, Answer("391", "Hm."))) as server, AsyncClient(**settings(server)) as client:
        router = ModeRouter(client)
        report = await LiveEvaluation(router, ReferenceGrader("numeric"), max_tokens=60).run(questions)
        assert report.spent.amount == server.bill.total
        tight = LiveEvaluation(router, ReferenceGrader("numeric"), max_tokens=60, budget=Money.of("0.0000001"))
        stopped = await tight.run(questions)
        with pytest.raises(ConfigurationError, match="no reference"):
            await LiveEvaluation(router, ReferenceGrader("numeric")).run([outcome()])
    accuracy = {each.policy: each.accuracy.value if each.accuracy else None for each in report.results}
    assert (accuracy["standard"], accuracy["thinking"]) == (0.0, 1.0)
    assert [each.questions for each in report.results] == [6, 6, 6]
    assert report.gain_kept is not None
    assert stopped.stopped is not None
    assert stopped.stopped_by == "budget"
    assert stopped.results[0].questions == 0


async def test_an_endpoint_that_is_left_alone_is_not_wrong() -> None:
    """What was asked before it counts for every policy alike, and so do failures before the circuit opened."""
    questions = [outcome(reference="391").model_copy(update={"id": str(number)}) for number in range(6)]
    script = [Answer("391")] * 4 + [Failure(503, "busy")]
    ledger = Ledger.open("memory:")
    async with (
        BillServer(script) as server,
        AsyncClient(**settings(server, ledger=ledger, max_retries=0)) as client,
    ):
        live = LiveEvaluation(
            ModeRouter(client),
            ReferenceGrader("numeric"),
            policies=("standard", "thinking"),
            max_tokens=60,
            at_once=1,
        )
        report = await live.run(questions)
        assert report.spent.amount == server.bill.total
        assert len(server.requests) == 9
    assert report.stopped is not None
    assert "nothing was sent" in report.stopped
    assert [(each.questions, each.failed) for each in report.results] == [(4, 2), (4, 2)]
    ledger.close()


async def test_a_prompt_that_is_too_long_leaves_the_others_be(tmp_path: Path) -> None:
    long = "word " * 200_000
    out = tmp_path / "out.jsonl"
    async with BillServer(by_mode(STANDARD, THINKING)) as server:
        state = await collect(server, write(tmp_path / "in.jsonl", [long, *PROMPTS]), out)
        assert (state.prompts, state.done, state.stopped) == (4, 3, None)
        [why] = state.failed.values()
        assert why.startswith("ContextLengthExceeded: ")
        questions = [
            outcome(reference="1").model_copy(update={"query": long}),
            outcome(reference="391").model_copy(update={"id": "other"}),
        ]
        async with AsyncClient(**settings(server)) as client:
            report = await LiveEvaluation(ModeRouter(client), ReferenceGrader("numeric"), max_tokens=60).run(questions)
    assert [(each.questions, each.failed) for each in report.results] == [(2, 1)] * 3
    assert report.stopped is None


async def test_a_grader_that_fails_costs_no_row(tmp_path: Path) -> None:
    """The answers are paid for: they are written, and can be graded later."""

    def judged(request: Any) -> Any:
        return Failure(503, "busy") if "to be graded" in request.question else Answer("391")

    prompts, out = write(tmp_path / "in.jsonl", PROMPTS[:1]), tmp_path / "out.jsonl"
    ledger = Ledger.open("memory:")
    async with (
        BillServer(judged) as server,
        AsyncClient(**settings(server, ledger=ledger, max_retries=0)) as client,
    ):
        collector = Collector(client, max_tokens=100, grader=ReferenceGrader("judge", judge=client))
        state = await collector.run(read_prompts(prompts), out)
        assert (state.done, state.failed) == (1, {})
        assert next(iter(state.ungraded.values())).startswith("Overloaded: ")
        asked = len(server.requests)
        again = await collector.run(read_prompts(prompts), out)
        assert (again.done, len(server.requests)) == (1, asked)
    [row] = read_outcomes(out)
    assert (row.standard_correct, row.standard_answer) == (None, "391")
    ledger.close()


async def test_a_budget_of_the_ledger_stops_a_live_evaluation_with_its_report() -> None:
    questions = [outcome(reference="391").model_copy(update={"id": str(number)}) for number in range(30)]
    budget = Budget("0.0008", per="day", policy="refuse")
    with Ledger.open("memory:", budgets=[budget]) as ledger:
        async with (
            BillServer(by_mode(Answer("391"), Answer("391", "Hm."))) as server,
            AsyncClient(**settings(server, ledger=ledger)) as client,
        ):
            live = LiveEvaluation(ModeRouter(client), ReferenceGrader("numeric"), max_tokens=100, at_once=1)
            report = await live.run(questions)
            assert report.spent.amount == server.bill.total
    assert report.stopped_by == "budget"
    assert 0 < report.results[0].questions < 30
    with pytest.raises(ConfigurationError, match="at_once"):
        LiveEvaluation(ModeRouter(client), ReferenceGrader("numeric"), at_once=0)


def test_lines_end_where_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(json.dumps({"query": "one\u2028two\x85three"}, ensure_ascii=False) + "\n", "utf-8")
    [prompt] = read_prompts(file)
    assert prompt.query == "one\u2028two\x85three"
    twice = write(file, [{"id": "a", "query": "One?"}, {"id": "a", "query": "One?"}])
    assert len(read_prompts(twice)) == 1
    with pytest.raises(ConfigurationError, match="line 2 has the id 'a' of another prompt"):
        read_prompts(write(file, [{"id": "a", "query": "One?"}, {"id": "a", "query": "Two?"}]))
