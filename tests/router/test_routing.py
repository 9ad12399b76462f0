"""A question is answered in standard mode, verified, and escalated when that pays."""

from __future__ import annotations

from decimal import Decimal

import pytest

from deepthrift import AsyncClient, Client, TextDelta
from deepthrift.errors import ConfigurationError, InvalidRequestError, ServerError, UnsupportedFeature
from deepthrift_pricing import Ledger
from deepthrift_router import Decision, ModeRouter, RoutedReply
from tests.router.support import CANBERRA, QUESTION, SYDNEY, by_mode, route, routing
from tests.support.bill_server import Answer, BillServer, Failure
from tests.support.doors import settings

WEATHER = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
STORY = Answer("The sea was calm that evening and the boats came home one after the other. " * 8)


async def test_agreement_accepts_the_standard_answer() -> None:
    reply, server = await route(Answer("Canberra."))
    assert (reply.text, reply.mode) == ("Canberra.", "standard")
    assert reply.path in (("standard", "sample"), ("standard", "sample", "sample"))
    assert [attempt.purpose for attempt in reply.attempts][:2] == ["answer", "sample"]
    assert reply.confidence == pytest.approx(reply.decision.p_standard)
    assert reply.confidence > reply.decision.score.p_standard
    assert reply.cost.amount == server.bill.total
    assert not reply.escalated


async def test_disagreement_escalates() -> None:
    reply, server = await route([SYDNEY, Answer("Canberra.")])
    assert (reply.text, reply.mode, reply.path) == ("Canberra.", "thinking", ("standard", "sample", "escalate"))
    assert [attempt.purpose for attempt in reply.attempts] == ["answer", "sample", "escalate"]
    assert reply.escalated
    assert reply.reasoning
    assert reply.cost.amount == server.bill.total
    assert reply.usage.completion_tokens == sum(line.completion_tokens for line in server.bill.lines)
    assert reply.confidence == pytest.approx(reply.decision.p_thinking)


async def test_the_decision_explains_itself() -> None:
    reply, _ = await route([SYDNEY, Answer("Canberra.")])
    decision = reply.decision
    assert decision.plan == "cascade"
    assert {plan.plan for plan in decision.plans} == {"standard", "cascade", "thinking"}
    assert all(plan.low <= plan.cost <= plan.high for plan in decision.plans)
    assert [item.signal for item in decision.evidence] == ["finish", "hedging", "extent", "agreement"]
    bought = decision.evidence[-1]
    assert bought.outcome == "disagree"
    assert bought.weight is not None
    assert bought.weight < 0
    assert bought.cost == reply.attempts[1].cost.total
    assert "disagree" in decision.reason
    assert decision.value_source == "default"
    assert 0 <= decision.complexity <= 1
    assert Decision.model_validate_json(decision.model_dump_json()) == decision
    assert RoutedReply.model_validate_json(reply.model_dump_json()) == reply


async def test_every_request_is_the_users_own() -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
    reply, server = await route([SYDNEY, CANBERRA], question=messages, max_tokens=77, tags={"team": "search"})
    assert len(server.requests) == 3
    assert all(request.messages == messages for request in server.requests)
    assert {request.max_tokens for request in server.requests} == {77}
    assert {attempt.tags["team"] for attempt in reply.attempts} == {"search"}


async def test_a_second_sample_is_free_to_come_out_differently() -> None:
    _, server = await route(Answer("Canberra."), temperature=0, seed=5)
    sampling = [(request.body["temperature"], request.body["seed"]) for request in server.requests]
    assert sampling == [(0, 5), (0.7, 6), (0.7, 7)][: len(sampling)]
    assert len(sampling) >= 2
    _, server = await route(Answer("Canberra."), temperature=0.3)
    assert {request.body["temperature"] for request in server.requests} == {0.3}
    _, server = await route(Answer("Canberra."))
    assert all("temperature" not in request.body for request in server.requests)


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        ("standard", ("standard",)),
        ("thinking", ("thinking",)),
        ("cascade", ("standard", "sample", "escalate")),
        ("auto", ("standard", "sample", "escalate")),
    ],
)
async def test_fixed_policies(policy: str, path: tuple[str, ...]) -> None:
    reply, server = await route([SYDNEY, CANBERRA], policy=policy)
    assert reply.path == path
    assert reply.decision.policy == policy
    assert len(server.requests) == len(path)


async def test_a_cascade_accepts_when_samples_agree() -> None:
    reply, _ = await route(Answer("Canberra"), policy="cascade", value_of_right_answer="1000")
    assert reply.path == ("standard", "sample")


async def test_open_text_cannot_be_verified_and_says_so() -> None:
    reply, server = await route(STORY, question="Write a few lines about the sea.", value_of_right_answer="0.000001")
    assert reply.path == ("standard",)
    assert len(server.requests) == 1
    assert any("open text" in missing for missing in reply.decision.missing)


async def test_a_third_sample_can_side_with_the_second() -> None:
    """Two of three name Canberra, and thinking is worth too little to ask it as well."""
    standard = [Answer("Sydney."), Answer("Canberra."), Answer("Canberra.")]
    reply, server = await route(standard, Answer("Perth.", reasoning="Hm. " * 90), value_of_right_answer="0.002")
    assert reply.path == ("standard", "sample", "sample")
    assert reply.text == "Canberra."
    assert reply.call_id == reply.attempts[1].call_id
    assert reply.decision.evidence[-1].outcome == "with_second"
    assert reply.cost.amount == server.bill.total


@pytest.mark.parametrize("most", [1, 2, 3])
async def test_the_number_of_samples_is_bounded(most: int) -> None:
    reply, server = await route(Answer("Canberra."), router={"max_samples": most}, value_of_right_answer="0.0005")
    assert len(server.requests) <= most
    assert reply.mode == "standard"


async def test_what_a_right_answer_is_worth_decides() -> None:
    cheap, _ = await route([SYDNEY, CANBERRA], value_of_right_answer="0.0000001")
    assert cheap.path == ("standard",)
    dear, _ = await route([SYDNEY, CANBERRA], value_of_right_answer="1")
    assert dear.path[-1] == "escalate"
    assert dear.decision.value_of_right_answer.amount == Decimal(1)
    assert dear.decision.value_source == "given"


@pytest.mark.parametrize("thought", [Answer("Canb", finish_reason="length"), Answer(" ")], ids=["cut", "blank"])
async def test_thinking_that_ends_in_nothing_leaves_the_standard_answer(thought: Answer) -> None:
    reply, server = await route([SYDNEY, Answer("Canberra.")], thought)
    assert (reply.text, reply.mode) == ("Sydney.", "standard")
    assert reply.path[-1] == "kept standard"
    assert reply.decision.degraded
    assert reply.warnings
    assert reply.confidence < 0.5
    assert reply.cost.amount == server.bill.total


async def test_thinking_that_fails_leaves_the_standard_answer() -> None:
    reply, server = await route([SYDNEY, Answer("Canberra.")], Failure(503, "busy"))
    assert (reply.text, reply.mode) == ("Sydney.", "standard")
    assert [attempt.http_status for attempt in reply.attempts][-1] == 503
    assert any("Overloaded" in note for note in reply.decision.degraded)
    assert reply.confidence < 0.5
    assert reply.cost.amount == server.bill.total


async def test_a_second_sample_that_fails_is_missing_evidence() -> None:
    reply, _ = await route([Answer("Canberra."), Failure(503, "busy")])
    assert any("sample failed" in note for note in reply.decision.missing)
    assert len(reply.attempts) >= 2


async def test_without_any_answer_the_error_carries_the_spend() -> None:
    with pytest.raises(ServerError) as caught:
        await route(Failure(500, "no"))
    assert len(caught.value.attempt_ids) == 1
    assert caught.value.spend is not None


async def test_two_truncated_samples_do_not_agree() -> None:
    cut = Answer("The answer is 42", finish_reason="length")
    reply, _ = await route([cut, cut], Answer("41"), question="How many?", policy="cascade")
    assert reply.text == "41"
    reply, _ = await route([Answer("The answer is 42."), cut], Answer("41"), question="How many?", policy="cascade")
    assert reply.text == "41"
    assert reply.decision.evidence[-1].outcome == "no_answer"


async def test_tools_stay_in_standard_mode() -> None:
    called = Answer("", tool_calls=[("weather", "{}")], finish_reason="tool_calls")
    reply, server = await route(called, tools=WEATHER)
    assert reply.mode == "standard"
    assert reply.tool_calls
    assert len(server.requests) == 1
    assert any("thinking" in note for note in reply.decision.degraded)
    assert not reply.savings.known
    with pytest.raises(UnsupportedFeature):
        await route(called, tools=WEATHER, policy="thinking")


async def test_a_users_validator_is_heard() -> None:
    def brief(reply: object) -> bool | str:
        return "Canberra" in str(getattr(reply, "text", "")) or "it names another city"

    reply, _ = await route(SYDNEY, validators=[brief])
    assert (reply.text, reply.path) == ("Canberra.", ("standard", "escalate"))
    refused = reply.decision.evidence[-1]
    assert (refused.outcome, refused.decisive, refused.detail) == ("refused", True, "it names another city")
    assert "brief" in refused.signal
    both, _ = await route(SYDNEY, Answer("Perth."), validators=[brief])
    assert both.confidence == 0
    assert both.decision.degraded


async def test_a_validator_that_raises() -> None:
    def parses(reply: object) -> bool:
        raise ValueError("no JSON")

    def broken(reply: object) -> bool:
        raise KeyError("oops")

    refused, _ = await route(SYDNEY, validators=[parses], policy="standard")
    assert refused.decision.evidence[-1].detail == "ValueError: no JSON"
    assert refused.confidence < 0.01
    unheard, _ = await route(Answer("Canberra."), router={"validators": [broken]})
    assert unheard.mode == "standard"
    assert any("KeyError" in note for note in unheard.decision.missing)


async def test_a_plan_makes_no_call() -> None:
    async with routing(SYDNEY) as (router, server):
        decision = router.plan(QUESTION, max_tokens=400)
        assert router.score(QUESTION) == decision.score
        assert "ModeRouter auto" in repr(router)
    assert server.requests == []
    assert decision.plan == "cascade"
    assert not decision.evidence
    assert {length.source for length in decision.lengths} == {"prior"}


def test_the_synchronous_door() -> None:
    ledger = Ledger.open("memory:")
    with (
        BillServer([SYDNEY, Answer("Canberra."), CANBERRA]) as server,
        Client(**settings(server, ledger=ledger)) as client,
    ):
        router = ModeRouter(client)
        reply = router.chat(QUESTION, max_tokens=400)
        assert router.plan(QUESTION).plan == "cascade"
    assert reply.path == ("standard", "sample", "escalate")
    assert reply.cost.amount == server.bill.total
    ledger.close()


async def test_wrong_settings_are_refused_before_anything_is_sent() -> None:
    async with routing(SYDNEY) as (router, server):
        with pytest.raises(ConfigurationError):
            await router.chat(QUESTION, policy="maybe")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError):
            await router.chat(QUESTION, max_cost="0")
        with pytest.raises(ConfigurationError):
            await router.chat(QUESTION, value_of_right_answer=0.5)  # type: ignore[arg-type]
        for messages in ("", [], [{"role": "user"}], [{"content": "x"}]):
            with pytest.raises(InvalidRequestError):
                await router.chat(messages)
        with pytest.raises(InvalidRequestError):
            await router.chat(QUESTION, max_tokens=-1)
    assert server.requests == []


async def test_recorded_lengths_replace_the_prior() -> None:
    async with routing(Answer("Canberra.")) as (router, _):
        client = router._client
        assert isinstance(client, AsyncClient)
        for _ in range(6):
            await client.chat(QUESTION, mode="thinking", max_tokens=400)
            await client.chat(QUESTION, mode="standard", max_tokens=400)
        decision = router.plan(QUESTION, max_tokens=400)
    assert {length.source for length in decision.lengths} == {"recorded"}
    standard, thinking = decision.lengths
    assert standard.low <= standard.expected <= standard.high
    assert thinking.expected > standard.expected


async def test_a_mode_that_was_not_honoured_is_told() -> None:
    reply, _ = await route([SYDNEY, Answer("Canberra.")], Answer("Canberra.", ran="standard"))
    assert reply.mode == "standard"
    assert any("standard mode" in note for note in reply.decision.degraded)
    assert not reply.savings.known
    assert reply.confidence < 0.5


async def test_a_sample_that_fails_is_not_asked_for_again() -> None:
    reply, server = await route([SYDNEY, Failure(503, "busy")], value_of_right_answer="0.002")
    assert len(server.requests) <= 3
    assert [attempt.purpose for attempt in reply.attempts].count("sample") == 1


async def test_answers_of_one_named_group_do_not_mix() -> None:
    async with routing(Answer("Canberra.")) as (router, server):
        first = await router.chat(QUESTION, max_tokens=400, group_id="mine")
        second = await router.chat(QUESTION, max_tokens=400, group_id="mine")
    assert first.cost.amount + second.cost.amount == server.bill.total
    assert not {attempt.id for attempt in first.attempts} & {attempt.id for attempt in second.attempts}


async def test_thinking_at_once_when_it_is_known_to_pay() -> None:
    """A familiar question, both lengths on record, and standard mode the longer of the two."""
    familiar = (
        "Find the Greatest Common Divisor (GCD) of these numbers: 428, 500. Give only the GCD as your final answer."
    )
    async with routing(Answer("4", text_tokens=390), Answer("4", reasoning="So. " * 20)) as (router, server):
        client = router._client
        assert isinstance(client, AsyncClient)
        for _ in range(6):
            await client.chat(familiar, mode="thinking", max_tokens=400)
            await client.chat(familiar, mode="standard", max_tokens=400)
        server.requests.clear()
        reply = await router.chat(familiar, max_tokens=400, value_of_right_answer="0.001")
        assert reply.path == ("thinking",)
        assert [attempt.purpose for attempt in reply.attempts] == ["answer"]
        assert reply.savings.net is not None
        assert reply.savings.net.pico == 0

        server.script = by_mode(Answer("4"), Answer("4", finish_reason="length"))
        kept = await router.chat(familiar, max_tokens=400, value_of_right_answer="0.001")
        assert kept.path == ("thinking", "standard")
        assert (kept.text, kept.finish_reason) == ("4", "stop")
        assert kept.decision.degraded

        server.script = by_mode(Answer("4"), Failure(500, "no"))
        fell = await router.chat(familiar, max_tokens=400, value_of_right_answer="0.001")
        assert fell.path[0] == "thinking"
        assert fell.path[1] == "standard"
        assert fell.attempts[0].http_status == 500


async def test_a_group_can_be_named() -> None:
    reply, _ = await route(Answer("Canberra."), group_id="mine")
    assert reply.group_id == "mine"
    assert {attempt.group_id for attempt in reply.attempts} == {"mine"}


@pytest.mark.parametrize("streamed", [False, True])
async def test_of_two_answers_that_are_cut_the_one_that_says_something_is_given(streamed: bool) -> None:
    cut, empty = Answer("Canb", finish_reason="length"), Answer("", reasoning="Hm.", finish_reason="length")
    async with routing(cut, empty, policy="cascade") as (router, server):
        if streamed:
            async with router.stream(QUESTION, max_tokens=100) as stream:
                shown = "".join([event.text async for event in stream if isinstance(event, TextDelta)])
            reply = stream.reply
            assert shown == "Canb"
        else:
            reply = await router.chat(QUESTION, max_tokens=100)
        assert reply.cost.amount == server.bill.total
    assert (reply.text, reply.confidence, reply.path) == ("Canb", 0.0, ("standard", "escalate", "kept standard"))
    assert any("cut off at max_tokens" in warning for warning in reply.warnings)
