"""What the user asks for in their own words: shares, losses, seconds, tags, races, hints, a specialist."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from deepthrift import AsyncClient, Client
from deepthrift.errors import ConfigurationError, NotEnoughLabels, StructuredOutputError
from deepthrift_pricing import Budget, Ledger
from deepthrift_router import Belief, ModeRouter, Preferences, RouterStore
from deepthrift_router._belief.verification import Prospect
from deepthrift_router._calls import calls as _calls
from deepthrift_router._decide.decide import Offer, Utilities, best_step
from deepthrift_router._decide.share import ShareControl
from tests.router.support import CANBERRA, QUESTION, SYDNEY, Pace, by_mode, route, routing
from tests.router.test_audits import labelled_row
from tests.router.test_checks import fitted
from tests.support.bill_server import Answer, BillServer, Failure
from tests.support.doors import settings

AGREED = Answer("Canberra.")


@given(
    target=st.floats(0.05, 0.95),
    gains=st.lists(st.floats(-1, 1), min_size=1, max_size=6),
    length=st.integers(400, 900),
)
def test_a_target_share_is_met_on_any_traffic(target: float, gains: list[float], length: int) -> None:
    control = ShareControl(target)
    for place in range(length):
        gain = gains[place * len(gains) // length] if place % 2 else gains[place % len(gains)]
        control.note(escalated=gain >= control.threshold)
    assert control.share is not None
    assert abs(control.share - target) <= (2.04 + 0.02) / (0.02 * length)


def test_a_target_share_begins_from_the_gains_on_record() -> None:
    draw = random.Random(1)
    gains = [draw.uniform(-0.5, 0.5) for _ in range(200)]
    control = ShareControl(0.2, gains)
    assert sum(gain >= control.threshold for gain in gains) == pytest.approx(40, abs=2)


async def test_target_share_moves_the_threshold() -> None:
    async with routing(AGREED, preferences=Preferences(target_share=0.5)) as (router, _):
        first = await router.chat(QUESTION, max_tokens=100)
        second = await router.chat(QUESTION, max_tokens=100)
    assert first.decision.threshold is not None
    assert second.decision.threshold is not None
    assert second.decision.threshold < first.decision.threshold
    assert "50% of the answers" in first.decision.reason
    assert first.path == ("standard", "sample", "sample")


async def test_max_quality_loss_needs_labels_and_says_how_many() -> None:
    async with routing(AGREED, preferences=Preferences(max_quality_loss=0.02)) as (router, server):
        with pytest.raises(NotEnoughLabels) as caught:
            await router.chat(QUESTION, max_tokens=100)
        with pytest.raises(NotEnoughLabels):
            router.plan(QUESTION)
    assert server.requests == []
    assert caught.value.labels == 0
    assert caught.value.needed is not None
    assert caught.value.needed > 50


async def test_max_quality_loss_holds_what_the_labels_bear_out() -> None:
    store = RouterStore()
    for number in range(400):
        store.add(labelled_row(number, gain=-0.2 if number % 2 else 0.6, kept=bool(number % 2), thinking=True))
    async with routing([SYDNEY, CANBERRA, Answer("Perth.")], store=store) as (router, _):
        reply = await router.chat(QUESTION, max_tokens=100, preferences=Preferences(max_quality_loss=0.02))
    assert reply.decision.threshold is not None
    assert -0.2 < reply.decision.threshold <= 0.6
    assert "95%" in reply.decision.reason
    store.close()


async def test_checks_with_data_are_part_of_a_promise() -> None:
    """The same evidence for every answer: a check that has data is always bought, and names the labels that count."""
    setting = fitted("self_check", {"sure": (0.9, 0.9, 0.1, 0.1), "no": (0.1, 0.1, 0.9, 0.9)})
    share = Preferences(target_share=0.3)
    async with routing(AGREED, settings=setting, checks=["self_check"], preferences=share) as (router, server):
        reply = await router.chat(QUESTION, max_tokens=100)
        [row] = router.store.rows()
    assert reply.path[:4] == ("standard", "sample", "sample", "check")
    assert row.process == "samples=3, self_check"
    assert any(request.max_tokens == 1 for request in server.requests)


async def test_a_policy_by_tag() -> None:
    by_tag = {"team=search": Preferences(policy="standard"), "deep": Preferences(policy="thinking")}
    async with routing(AGREED, by_tag=by_tag) as (router, _):
        plain = await router.chat(QUESTION, max_tokens=100)
        search = await router.chat(QUESTION, max_tokens=100, tags={"team": "search"})
        deep = await router.chat(QUESTION, max_tokens=100, tags={"team": "search", "deep": "yes"})
        asked = await router.chat(QUESTION, max_tokens=100, tags={"team": "search"}, policy="cascade")
    assert [each.decision.policy for each in (plain, search, deep, asked)] == [
        "auto",
        "standard",
        "thinking",
        "cascade",
    ]


async def test_seconds_have_a_price(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Answer("Canberra.", reasoning="Hm.")
    async with routing([AGREED] * 3 + [SYDNEY, AGREED] * 4, slow, pace=Pace(monkeypatch, 1.0, 40.0)) as (router, _):
        for _ in range(3):
            await router.client.chat(QUESTION, max_tokens=100)
            await router.client.chat(QUESTION, mode="thinking", max_tokens=100)
        hasty = Preferences(value_of_second="0.01")
        plan = router.plan(QUESTION, max_tokens=100, value_of_right_answer="0.01", preferences=hasty)
        waited = await router.chat(QUESTION, max_tokens=100, value_of_right_answer="0.01")
        reply = await router.chat(QUESTION, max_tokens=100, value_of_right_answer="0.01", preferences=hasty)
    seconds = {each.plan: each.seconds for each in plan.plans}
    assert (seconds["standard"], seconds["thinking"]) == (pytest.approx(1.0), pytest.approx(40.0))
    assert waited.path[-1] == "escalate"
    assert reply.path[-1] != "escalate"


async def test_thinking_that_cannot_end_in_time_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Answer("Canberra.", reasoning="Hm.")
    async with routing([SYDNEY, AGREED] * 4, slow, pace=Pace(monkeypatch, 1.0, 100.0)) as (router, server):
        for _ in range(3):
            await router.client.chat(QUESTION, mode="thinking", max_tokens=100)
        reply = await router.chat(QUESTION, max_tokens=100, deadline=60.0)
        assert sum(request.mode_ran == "thinking" for request in server.requests) == 3
        in_time = await router.chat(QUESTION, max_tokens=100, deadline=600.0)
    assert reply.mode == "standard"
    assert any("it takes 100.0 seconds here" in note for note in reply.decision.degraded)
    assert in_time.path[-1] == "escalate"


async def test_a_deadline_holds_for_the_whole_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is on record, so thinking is tried; when time is over, the draft stands."""
    now = 0.0
    monkeypatch.setattr(_calls, "time", SimpleNamespace(monotonic=lambda: now))

    def handle(request: Any) -> Answer:
        nonlocal now
        now += 29.95
        return Answer("Canberra.", delay=60.0) if request.mode_ran == "thinking" else answers.pop(0)

    answers = [SYDNEY, AGREED]
    async with BillServer(handle) as server, AsyncClient(**settings(server, max_retries=0)) as client:
        reply = await ModeRouter(client).chat(QUESTION, max_tokens=100, deadline=60.0)
        assert [request.mode_ran for request in server.requests] == ["standard", "standard", "thinking"]
    assert reply.text == "Sydney."
    assert any("DeadlineExceeded" in note for note in reply.decision.degraded)


async def test_the_draft_as_a_hint_keeps_the_prefix() -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
    preferences = Preferences(draft_as_hint=True)
    _, server = await route([SYDNEY, AGREED], question=messages, preferences=preferences)
    hinted = server.requests[-1]
    assert hinted.mode_ran == "thinking"
    assert hinted.messages[:2] == messages
    assert hinted.messages[2] == {"role": "assistant", "content": "Sydney."}
    assert len(hinted.messages) == 4


class TestRace:
    async def test_the_loser_is_cancelled_and_booked(self) -> None:
        ledger = Ledger.open("memory:")
        thinking = Answer("Canberra.", reasoning="word " * 400, token_delay=0.1)
        async with routing(AGREED, thinking, ledger=ledger) as (router, server):
            reply = await router.chat(QUESTION, max_tokens=500, preferences=Preferences(race=True, policy="cascade"))
            await server.wait_quiet()
            raced = next(request for request in server.requests if request.mode_ran == "thinking")
        assert (reply.mode, reply.text) == ("standard", "Canberra.")
        assert raced.disconnected
        booked = ledger.attempts(group_id=reply.group_id)
        assert {attempt.mode for attempt in booked} == {"standard", "thinking"}
        assert {attempt.id for attempt in booked} == {attempt.id for attempt in reply.attempts}
        assert reply.cost.total.pico == sum(attempt.cost.total.pico for attempt in booked)
        assert all(attempt.status in ("settled", "unknown", "released") for attempt in booked)
        ledger.close()

    async def test_thinking_wins_when_standard_is_slow(self) -> None:
        ledger = Ledger.open("memory:")
        slow, quick = Answer("Sydney.", hold=30.0), Answer("Canberra.", reasoning="Yes.", delay=0.05)
        async with routing(slow, quick, ledger=ledger) as (router, server):
            reply = await router.chat(QUESTION, max_tokens=100, preferences=Preferences(race=True))
            assert reply.cost.amount >= server.bill.total
        assert (reply.mode, reply.text) == ("thinking", "Canberra.")
        booked = ledger.attempts(group_id=reply.group_id)
        assert {attempt.id for attempt in booked} == {attempt.id for attempt in reply.attempts}
        assert len(booked) == 2
        ledger.close()

    async def test_disagreement_waits_for_thinking(self) -> None:
        thinking = Answer("Canberra.", reasoning="word " * 20, token_delay=0.01)
        async with routing([SYDNEY, AGREED], thinking) as (router, server):
            reply = await router.chat(QUESTION, max_tokens=100, preferences=Preferences(race=True, policy="cascade"))
            assert reply.text == "Canberra."
            assert reply.cost.amount == server.bill.total

    async def test_one_that_fails_leaves_the_other(self) -> None:
        later = replace(CANBERRA, delay=0.3)  # than the failure is noticed
        for standard, thinking in ((Failure(500, "no"), later), (replace(AGREED, delay=0.3), Failure(500, "no"))):
            async with routing(standard, thinking) as (router, _):
                reply = await router.chat(
                    QUESTION, max_tokens=100, preferences=Preferences(race=True, policy="cascade")
                )
            assert reply.text == "Canberra."
            assert reply.decision.degraded

    async def test_cancelled_it_ends_both(self) -> None:
        ledger = Ledger.open("memory:")
        slow = Answer("word " * 300, token_delay=0.1, reasoning="word")
        async with routing(slow, slow, ledger=ledger) as (router, server):
            task = asyncio.ensure_future(router.chat(QUESTION, max_tokens=400, preferences=Preferences(race=True)))
            await server.until(lambda seen: len(seen.requests) == 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.wait_quiet()
        assert all(attempt.status != "reserved" for attempt in ledger.attempts())
        ledger.close()


class TestSpecialist:
    async def test_it_follows_when_thinking_gives_nothing(self) -> None:
        ledger = Ledger.open("memory:")
        cut = Answer("Canb", finish_reason="length")
        async with (
            BillServer(by_mode([SYDNEY, AGREED], cut)) as server,
            BillServer(CANBERRA) as other,
            AsyncClient(**settings(server, ledger=ledger)) as client,
            AsyncClient(**settings(other, ledger=ledger)) as specialist,
        ):
            router = ModeRouter(client, specialist=specialist)
            reply = await router.chat(QUESTION, max_tokens=400)
            assert {plan.plan for plan in reply.decision.plans} == {"standard", "cascade", "thinking", "specialist"}
            alone = await router.chat(QUESTION, max_tokens=400, policy="specialist")
        assert reply.text == "Canberra."
        assert reply.path[-2:] == ("escalate", "specialist")
        assert reply.escalated
        assert alone.path == ("specialist",)
        assert reply.cost.amount + alone.cost.amount == server.bill.total + other.bill.total
        ledger.close()

    async def test_the_policy_needs_one(self) -> None:
        async with routing(AGREED) as (router, _):
            with pytest.raises(ConfigurationError, match="specialist="):
                await router.chat(QUESTION, policy="specialist")


class City(BaseModel):
    name: str


async def test_an_object_that_does_not_fit_is_escalated() -> None:
    good, bad = Answer('{"name": "Canberra"}'), Answer("Sydney, I think.")
    async with routing(bad, good) as (router, server):
        reply = await router.parse(QUESTION, into=City, max_tokens=400)
        assert reply.value == City(name="Canberra")
        assert reply.path == ("standard", "escalate")
        assert reply.cost.amount == server.bill.total
    async with routing(bad, bad) as (router, _):
        with pytest.raises(StructuredOutputError) as caught:
            await router.parse(QUESTION, into=City, max_tokens=400)
        assert caught.value.spend is not None
        assert caught.value.partial is not None
        assert len(caught.value.attempt_ids) == 2
    async with routing(good, good) as (router, _):
        agreed = await router.parse(QUESTION, into=City, max_tokens=400)
        assert agreed.mode == "standard"
        assert any(item.outcome == "agree" for item in agreed.decision.evidence)


def test_tools_and_objects_through_the_synchronous_door() -> None:
    def capital(country: str) -> str:
        """The capital of a country."""
        return f"Canberra is in {country}"

    called = Answer("", tool_calls=[("capital", '{"country": "Australia"}')], finish_reason="tool_calls")
    with BillServer([called, AGREED, Answer('{"name": "Canberra"}')]) as server, Client(**settings(server)) as client:
        router = ModeRouter(client)
        reply = router.run_tools(QUESTION, tools=[capital])
        assert reply.text == "Canberra."
        assert router.parse(QUESTION, into=City, max_tokens=200).value.name == "Canberra"
        assert {request.mode_ran for request in server.requests} == {"standard"}


def test_preferences_that_cannot_be() -> None:
    for wrong in (
        {"target_share": 0.2, "max_quality_loss": 0.02},
        {"target_share": 1.5},
        {"max_quality_loss": 0},
        {"deadline": -1},
        {"value_of_second": "0"},
        {"policy": "maybe"},
    ):
        with pytest.raises(ConfigurationError):
            Preferences(**wrong)  # type: ignore[arg-type]
    share = Preferences(policy="auto", target_share=0.2)
    assert Preferences(max_quality_loss=0.1).over(share).target_share is None
    assert Preferences(policy="standard").over(share).target_share is None


async def test_a_tight_budget_buys_no_check_it_cannot_act_on() -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.0007", per="answer", policy="refuse")])
    async with routing([SYDNEY, AGREED], ledger=ledger, checks=["program"], policy="cascade") as (router, server):
        reply = await router.chat(QUESTION, max_tokens=400)
        assert server.bill.total <= ledger.budgets[0].limit.amount
    assert "check" not in reply.path
    ledger.close()


cells = st.tuples(*[st.floats(0.01, 1.0)] * 4).map(Belief.of)
amounts = st.floats(1, 1e9)


@given(cells, cells, cells, amounts, amounts, amounts, st.floats(0.05, 0.95), st.booleans())
def test_evidence_is_never_bought_for_more_than_it_is_worth(
    belief: Belief, a: Belief, b: Belief, value: float, price: float, thinking: float, chance: float, can: bool
) -> None:
    values = Utilities(value, price, thinking, True, can)
    offers = [Offer("check", price, (Prospect(chance, a), Prospect(1 - chance, b)))]
    step, utilities = best_step(belief, values, offers)
    now = max(utilities["accept"], utilities.get("escalate", float("-inf")))
    if step == "check":
        assert can
        assert utilities["check"] >= now
    else:
        assert utilities[step] == now
    assert (step == "escalate") <= can


@given(cells, amounts, amounts)
def test_thinking_is_never_bought_for_more_than_its_gain(belief: Belief, value: float, thinking: float) -> None:
    step, _ = best_step(belief, Utilities(value, 1.0, thinking, False, True), ())
    assert (step == "escalate") == (value * belief.p_thinking - thinking > value * belief.p_standard)


async def test_a_race_that_does_not_fit_is_not_run() -> None:
    reply, server = await route(
        [SYDNEY, AGREED], max_cost="0.0007", preferences=Preferences(race=True, policy="cascade")
    )
    assert len(server.requests) == len(reply.path)
    assert any(note.startswith("race: its worst case") for note in reply.decision.degraded)


async def test_preferences_stated_beside_a_policy_hold() -> None:
    share = Preferences(target_share=0.5)
    async with routing(AGREED, policy="cascade", preferences=share) as (router, _):
        assert router.plan(QUESTION, max_tokens=100).threshold is not None
        plan = router.plan(QUESTION, max_tokens=100, policy="cascade", preferences=Preferences(target_share=0.2))
        assert "20% of the answers" in plan.reason
        # A policy alone is for this answer, in the place of what the router has.
        assert router.plan(QUESTION, max_tokens=100, policy="cascade").threshold is None
    with pytest.raises(ConfigurationError, match=r"above 0, not 0$"):
        Preferences(max_cost=Decimal(0))
