"""Checks that cost a call, and validators that are ready made: what they ask, what they say, what is booked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from deepthrift import AsyncClient
from deepthrift.errors import ConfigurationError
from deepthrift_pricing import Ledger, utc_now
from deepthrift_router import Fits, Matches, ModeRouter, PassesTests, Sandbox
from deepthrift_router._belief.belief import Belief
from deepthrift_router._belief.likelihoods import Likelihoods, SignalData
from deepthrift_router._learn.setting import Lift, Setting
from tests.router.support import CANBERRA, QUESTION, SYDNEY, route
from tests.support.bill_server import Answer, Behaviour, BillServer, Failure
from tests.support.doors import settings

SUM = "What is 17 * 23?"
RIGHT, WRONG = Answer("391"), Answer("381")
PROGRAM = Answer("```python\nprint(17 * 23)\n```")


def asking(standard: Behaviour, check: Behaviour, thinking: Behaviour = RIGHT) -> Any:
    """Checks are told from the answer by what they ask below the question."""

    def handle(request: Any) -> Behaviour:
        if request.mode_ran == "thinking":
            return thinking
        return check if any(mark in request.question for mark in ("program", "right?", "Score")) else standard

    return handle


def fitted(signal: str, outcomes: Mapping[str, tuple[float, float, float, float]]) -> Setting:
    """A setting in which `signal` has data."""
    data = SignalData(source="a test", rows=1000, temper=(1.0, 1.0), tables={"any": dict(outcomes)})
    lift = Lift(mean=0.1, low=0.05, high=0.2, before=1.0, after=0.9, folds=5)
    return Setting(
        version="test", made=utc_now(), base="shipped", labels=1000, questions=900, signals={signal: data}, lift=lift
    )


AGREES = {"agree": (0.9, 0.8, 0.1, 0.1), "disagree": (0.1, 0.2, 0.9, 0.9)}


async def checked(handler: Any, **router: Any) -> Any:
    async with BillServer(handler) as server, AsyncClient(**settings(server, max_retries=0)) as client:
        reply = await ModeRouter(client, **router).chat(SUM, max_tokens=400)
        assert reply.cost.amount == server.bill.total
        assert len(reply.attempts) == len(server.requests)
        return reply, server


@pytest.mark.parametrize(("standard", "outcome"), [(RIGHT, "agree"), (WRONG, "disagree")])
async def test_a_program_checks_a_number(standard: Answer, outcome: str) -> None:
    reply, server = await checked(asking(standard, PROGRAM), policy="cascade", checks=["program"])
    found = next(item for item in reply.decision.evidence if item.signal == "program")
    assert found.outcome == outcome
    assert found.cost == next(attempt for attempt in reply.attempts if attempt.purpose == "verify").cost.total
    assert "check" in reply.path
    assert reply.text == "391"
    assert reply.escalated == (outcome == "disagree")
    assert server.requests[0].question == SUM


async def test_a_program_that_fails_is_no_agreement() -> None:
    crash = Answer("```python\nraise ValueError('no idea')\n```")
    reply, _ = await checked(asking(RIGHT, crash), policy="cascade", checks=["program"])
    found = next(item for item in reply.decision.evidence if item.signal == "program")
    assert (found.outcome, reply.escalated) == ("no_answer", True)
    assert "no idea" in found.detail


async def test_a_check_without_data_has_no_weight_and_is_not_bought() -> None:
    reply, _ = await checked(asking(RIGHT, PROGRAM), checks=["program", "self_check", "margin"])
    assert {attempt.purpose for attempt in reply.attempts} <= {"answer", "sample"}
    assert any("program: no recorded outcomes" in note for note in reply.decision.missing)


async def test_a_check_with_data_is_bought_when_it_pays() -> None:
    """It is worth more for its price than a second sample, and then nothing else is needed."""
    setting = fitted("self_check", {"sure": (0.99, 0.9, 0.01, 0.01), "no": (0.01, 0.1, 0.99, 0.99)})
    reply, server = await checked(asking(RIGHT, Answer("Yes")), checks=["self_check"], settings=setting)
    assert reply.decision.setting == "test"
    bought = [request for request in server.requests if request.max_tokens == 1]
    assert len(bought) == 1
    assert bought[0].messages[-2] == {"role": "assistant", "content": "391"}
    assert bought[0].body["temperature"] == 0
    assert {"check"} <= set(reply.path)


@pytest.mark.parametrize(
    ("scores", "outcome"), [("1: 9\n2: 2", "6-10"), ("1: 4\n2: 3", "1-2"), ("1: 2\n2: 9", "other"), ("none", None)]
)
async def test_the_margin_between_candidates(scores: str, outcome: str | None) -> None:
    question = "Which is larger?\nA. one\nB. two"
    async with (
        BillServer(asking(Answer("B"), Answer(scores), Answer("B"))) as server,
        AsyncClient(**settings(server)) as client,
    ):
        reply = await ModeRouter(client, policy="cascade", checks=["margin"]).chat(question, max_tokens=400)
    found = [item.outcome for item in reply.decision.evidence if item.signal == "margin"]
    assert found == ([] if outcome is None else [outcome])
    asked = next(request for request in server.requests if "Score" in request.question)
    assert "1. B" in asked.question
    assert asked.question.startswith(question)


async def test_another_endpoint_is_asked_the_very_same() -> None:
    ledger = Ledger.open("memory:")
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
    async with (
        BillServer(asking(SYDNEY, SYDNEY, CANBERRA)) as server,
        BillServer(Answer("Canberra.")) as other,
        AsyncClient(**settings(server, ledger=ledger)) as client,
        AsyncClient(**settings(other, ledger=ledger)) as cross,
    ):
        reply = await ModeRouter(client, policy="cascade", cross_check=cross).chat(messages, max_tokens=400)
    [asked] = other.requests
    assert asked.messages == messages
    assert reply.text == "Canberra."
    assert [item.outcome for item in reply.decision.evidence if item.signal == "cross_check"] == ["disagree"]
    assert reply.cost.amount == server.bill.total + other.bill.total
    assert len({attempt.group_id for attempt in reply.attempts}) == 1
    ledger.close()


@pytest.mark.parametrize(
    ("answers", "outcome", "escalated"),
    [
        (("Canberra", "Canberra."), "both", False),
        (("Canberra", "Perth"), "first", True),
        (("Perth", "Perth"), "against", True),
    ],
)
async def test_two_endpoints_are_one_check(answers: tuple[str, str], outcome: str, escalated: bool) -> None:
    async with (
        BillServer(asking(CANBERRA, CANBERRA, CANBERRA)) as server,
        BillServer(Answer(answers[0])) as one,
        BillServer(Answer(answers[1])) as two,
        AsyncClient(**settings(server)) as client,
        AsyncClient(**settings(one)) as first,
        AsyncClient(**settings(two)) as second,
    ):
        router = ModeRouter(client, policy="cascade", cross_check=[first, second])
        reply = await router.chat(QUESTION, max_tokens=400)
        with pytest.raises(ConfigurationError, match="one or two"):
            ModeRouter(client, cross_check=[first, second, first])
    found = next(item for item in reply.decision.evidence if item.signal == "cross_check")
    assert (found.condition, found.outcome, reply.escalated) == ("of 2", outcome, escalated)
    assert found.cost.amount == one.bill.total + two.bill.total
    assert reply.cost.amount == server.bill.total + one.bill.total + two.bill.total


async def test_a_check_that_fails_is_missing_evidence() -> None:
    reply, _ = await checked(asking(RIGHT, Failure(503, "busy")), policy="cascade", checks=["program"])
    assert any("check program failed" in note for note in reply.decision.missing)
    assert reply.text == "391"


async def test_log_probabilities_are_read_and_have_no_weight_yet() -> None:
    reply, _ = await route(Answer("Canberra.", logprob=-0.1), logprobs=True)
    found = next(item for item in reply.decision.evidence if item.signal == "logprobs")
    assert (found.outcome, found.weight) == ("above -0.2", None)
    assert "logprobs: no recorded outcomes, so it has no weight" in reply.decision.missing


class City(BaseModel):
    name: str


async def test_ready_made_validators() -> None:
    good, bad = Answer(json.dumps({"name": "Canberra"})), Answer('{"town": "Canberra"}')
    reply, _ = await route(bad, good, validators=[Fits(City)])
    assert (reply.text, reply.path) == (good.text, ("standard", "escalate"))
    reply, _ = await route(SYDNEY, validators=[Matches("Canb")])
    assert reply.text == "Canberra."
    whole, _ = await route(SYDNEY, validators=[Matches("Canberra", whole=True)])
    assert whole.confidence == 0
    with pytest.raises(ConfigurationError):
        Matches("(")


async def test_code_has_to_pass_its_tests() -> None:
    tests = PassesTests("assert add(2, 3) == 5", Sandbox(seconds=10))
    bad = Answer("```python\ndef add(a, b):\n    return a - b\n```")
    good = Answer("```python\ndef add(a, b):\n    return a + b\n```")
    reply, _ = await route(bad, good, question="Write add(a, b).", validators=[tests])
    assert (reply.text, reply.mode) == (good.text, "thinking")
    refused = next(item for item in reply.decision.evidence if item.decisive)
    assert "AssertionError" in refused.detail
    sly = Answer("```python\nimport sys\nprint('passed')\nsys.exit(0)\n```")
    reply, _ = await route(sly, good, question="Write add(a, b).", validators=[tests])
    assert reply.mode == "thinking"


def test_unknown_checks_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="not a check"):
        ModeRouter(AsyncClient("http://127.0.0.1:9/v1", prices="brief"), checks=["guess"])  # type: ignore[list-item]


def test_the_setting_of_these_tests_is_sound() -> None:
    likelihoods: Likelihoods = fitted("program", AGREES).likelihoods()
    assert likelihoods.table("program") == AGREES
    assert Belief((0.4, 0.1, 0.4, 0.1)).given(AGREES["agree"]).p_standard > 0.8


async def test_a_program_that_cannot_be_started_costs_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(self: Sandbox, code: str, stdin: str = "") -> None:
        raise OSError(12, "no memory for another process")

    monkeypatch.setattr(Sandbox, "run", fails)
    reply, _ = await checked(asking(RIGHT, PROGRAM), checks=["program"], policy="cascade")
    assert reply.text == "391"
    assert any("the program could not be run" in note for note in reply.decision.missing)


async def test_what_checks_found_is_said_in_words() -> None:
    reply, _ = await checked(asking(RIGHT, Answer("Yes")), checks=["self_check"], policy="cascade")
    assert "The standard answer was accepted: " in reply.decision.reason
    assert "the model itself says yes" in reply.decision.reason
