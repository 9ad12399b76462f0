"""Ladders: tiers by name and as objects, the decision among them, and what a routed answer says of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift import AsyncClient, ChatOptions, Client, HostProfile, TextDelta
from deepthrift.errors import BudgetExceeded, ClientClosed, ConfigurationError
from deepthrift.shared.calls import with_model
from deepthrift_pricing import Budget, Ledger, Price, PriceBook
from deepthrift_router import (
    Belief,
    Escalated,
    Matches,
    ModeRouter,
    Preferences,
    Prior,
    RouterStore,
    Score,
    Tier,
    TokenLength,
)
from deepthrift_router._belief.ladder import Comparisons, JointBelief, LadderData
from deepthrift_router._calls.request import Request
from deepthrift_router._decide.climb import Climb, Standing, TierCall
from deepthrift_router._decide.economy import length_at_effort
from deepthrift_router.evaluation import read_ladder
from tests.router.support import QUESTION
from tests.support.bill_server import Answer, Behaviour, BillServer, Failure
from tests.support.doors import MODEL, settings

PARIS, ROME, BERN = Answer("Paris."), Answer("Rome."), Answer("Bern.")
COST = {MODEL: 1, "middle": 15, "big": 60}


def price(model: str, factor: int) -> Price:
    return Price(
        id=model,
        models=(model,),
        cache_hit=Decimal("0.01") * factor,
        cache_miss=Decimal("0.1") * factor,
        completion=Decimal("0.4") * factor,
        source="test",
        checked=date(2026, 12, 1),
    )


BOOK = PriceBook([price(model, factor) for model, factor in COST.items()])
LADDER: Sequence[Any] = (
    "standard",
    Tier(model="middle", name="middle"),
    Tier(mode="thinking", model="big", name="big"),
)


@asynccontextmanager
async def ladder(
    answers: dict[str, Behaviour | list[Behaviour]], *, tiers: Sequence[Any] = LADDER, ledger: Any = None, **router: Any
) -> AsyncIterator[tuple[ModeRouter[AsyncClient], BillServer]]:
    """A router whose three models answer so; the last answer of a list repeats."""
    queues = {model: [*each] if isinstance(each, list) else [each] for model, each in answers.items()}

    def handle(request: Any) -> Behaviour:
        queue = queues[request.body["model"]]
        return queue.pop(0) if len(queue) > 1 else queue[0]

    async with (
        BillServer(handle) as server,
        AsyncClient(**{**settings(server, max_retries=0, ledger=ledger), "prices": BOOK}) as client,
    ):
        yield ModeRouter(client, tiers=tiers, **router), server


def asked(server: BillServer) -> list[object]:
    return [request.body["model"] for request in server.requests]


class TestNames:
    @given(st.integers(1, 10**9))
    def test_a_number_is_tokens(self, tokens: int) -> None:
        assert Tier[Any].of(f"thinking:{tokens}") == Tier(None, "thinking", effort=tokens)

    def test_words(self) -> None:
        assert Tier[Any].of("standard") == Tier()
        assert Tier[Any].of("thinking") == Tier(mode="thinking")
        assert Tier[Any].of("thinking:low").effort == "low"
        assert Tier[Any].of("thinking:low").depth == "thinking:low"

    def test_another_model_of_the_endpoint(self) -> None:
        assert Tier[Any].of("standard@a/b:c@d") == Tier(model="a/b:c@d")
        assert Tier[Any].of("thinking:9@a") == Tier(mode="thinking", effort=9, model="a")

    @pytest.mark.parametrize(
        "text", ["", "max", "@a", "standard@", "standard:low", "thinking:", "thinking:0", "Thinking"]
    )
    def test_refused(self, text: str) -> None:
        with pytest.raises(ConfigurationError):
            Tier[Any].of(text)

    @given(st.text(max_size=12))
    def test_any_text_is_a_tier_or_refused(self, text: str) -> None:
        try:
            tier = Tier[Any].of(text)
        except ConfigurationError:
            return
        assert Tier[Any].of(tier.depth if tier.model is None else f"{tier.depth}@{tier.model}") == tier

    @pytest.mark.parametrize("effort", [0, -1, True, "", 1.5])
    def test_an_effort_that_is_none(self, effort: Any) -> None:
        with pytest.raises(ConfigurationError):
            Tier(mode="thinking", effort=effort)

    async def test_ladders_that_are_none(self) -> None:
        async with BillServer() as server, AsyncClient(**settings(server)) as client:
            for tiers in (
                ["standard"],
                ["standard"] * 7,
                "standard",
                ["standard", 3],
                [Tier(name="cascade"), "thinking"],
            ):
                with pytest.raises(ConfigurationError):
                    ModeRouter(client, tiers=tiers)
            with pytest.raises(ConfigurationError, match="name="):
                ModeRouter(client, tiers=["standard", "standard"]).tiers  # noqa: B018
            with pytest.raises(ConfigurationError, match="specialist"):
                ModeRouter(client, tiers=["standard", "thinking"], specialist=client)
            async with AsyncClient(**settings(server)) as other:
                found = ModeRouter(client, tiers=["standard", Tier(other), Tier(other, model="big"), "thinking"]).tiers
            assert found == ("standard", f"standard@{MODEL}", "standard@big", "thinking")

    async def test_standard_and_thinking_are_what_is_usual(self) -> None:
        async with BillServer() as server, AsyncClient(**settings(server)) as client:
            usual = ModeRouter(client).plan(QUESTION)
            named = ModeRouter(client, tiers=["standard", "thinking"]).plan(QUESTION)
        assert named.model_copy(update={"group_id": usual.group_id}) == usual
        assert [*usual.tiers] == ["standard", "thinking"]

    async def test_a_host_names_its_own_ladder(self) -> None:
        host = HostProfile.named("vllm").model_copy(update={"ladder": ("standard", "standard@middle", "thinking@big")})
        async with BillServer() as server, AsyncClient(**settings(server, host=host)) as client:
            assert ModeRouter(client).tiers == ("standard", "standard@middle", "thinking@big")
            assert ModeRouter(client, tiers=["standard", "thinking"]).tiers == ("standard", "thinking")
            assert [*ModeRouter(client).plan(QUESTION).tiers] == ["standard", "standard@middle", "thinking@big"]


class TestClimbing:
    async def test_agreement_with_the_middle_ends_it(self) -> None:
        answers = {MODEL: [PARIS, ROME], "middle": ROME, "big": BERN}
        async with ladder(answers, policy="cascade") as (router, server):
            reply = await router.chat(QUESTION, max_tokens=100)
            assert reply.cost.amount == sum(attempt.cost.amount for attempt in reply.attempts)
        assert asked(server) == [MODEL, MODEL, "middle"]
        assert (reply.text, reply.tier) == ("Rome.", "middle")
        assert reply.path == ("standard", "sample", "escalate", "middle")
        assert reply.escalated
        assert [*reply.decision.tiers] == ["standard", "middle", "big"]
        assert reply.decision.evidence[-1].signal == "tier middle"
        assert reply.decision.evidence[-1].outcome == "agree"

    async def test_disagreement_goes_to_the_top(self) -> None:
        answers = {MODEL: [PARIS, ROME], "middle": BERN, "big": Answer("Oslo.", reasoning="Hm.")}
        async with ladder(answers, policy="cascade") as (router, server):
            reply = await router.chat(QUESTION, max_tokens=100)
            [row] = router.store.rows()
            assert router.feedback(reply, correct=True)
            [labelled] = router.store.rows()
        assert asked(server) == [MODEL, MODEL, "middle", "big"]
        assert reply.path == ("standard", "sample", "escalate", "middle", "escalate", "big")
        assert (reply.text, reply.tier) == ("Oslo.", "big")
        assert reply.savings.basis == "measured"
        assert (row.tier, row.mode, row.top, row.escalated) == ("big", "thinking", True, True)
        assert labelled.thinking_right is True

    async def test_a_label_of_a_middle_tier_says_nothing_of_the_top(self) -> None:
        answers = {MODEL: [PARIS, ROME], "middle": ROME, "big": BERN}
        async with ladder(answers, policy="cascade") as (router, _):
            reply = await router.chat(QUESTION, max_tokens=100)
            router.feedback(reply, correct=True)
            [row] = router.store.rows()
        assert (row.tier, row.thinking_right, row.kept_right, row.right) == ("middle", None, None, True)
        assert row.tier_right == {"middle": True}

    async def test_auto_takes_the_middle_where_the_top_is_too_dear(self) -> None:
        """A right answer is worth less than the top costs, and more than the middle does."""
        answers = {MODEL: [PARIS, ROME], "middle": BERN, "big": BERN}
        async with ladder(answers, value_of_right_answer="0.02", max_samples=2) as (router, server):
            reply = await router.chat(QUESTION, max_tokens=4000)
        assert asked(server) == [MODEL, MODEL, "middle"]
        assert reply.tier == "middle"
        async with ladder(answers, value_of_right_answer="10", max_samples=2) as (router, server):
            dear = await router.chat(QUESTION, max_tokens=4000)
        assert "big" in asked(server)
        assert dear.text == "Bern."

    async def test_a_tier_that_fails_is_passed(self) -> None:
        answers = {MODEL: [PARIS, ROME], "middle": Failure(400, "no"), "big": BERN}
        async with ladder(answers, policy="cascade") as (router, server):
            reply = await router.chat(QUESTION, max_tokens=100)
        assert asked(server) == [MODEL, MODEL, "middle", "big"]
        assert (reply.text, reply.tier) == ("Bern.", "big")
        assert any("middle failed" in note for note in reply.decision.degraded)

    async def test_where_all_above_fail_the_first_answer_stands(self) -> None:
        answers = {MODEL: [PARIS, ROME], "middle": Failure(400, "no"), "big": Answer("", finish_reason="length")}
        async with ladder(answers, policy="cascade") as (router, _):
            reply = await router.chat(QUESTION, max_tokens=100)
        assert (reply.text, reply.tier) == ("Paris.", "standard")
        assert reply.path[-1] == "kept standard"

    async def test_a_refused_first_answer_is_never_kept(self) -> None:
        answers: dict[str, Any] = {MODEL: PARIS, "middle": PARIS, "big": BERN}
        async with ladder(answers, validators=[Matches("Bern")]) as (router, _):
            reply = await router.chat(QUESTION, max_tokens=100)
        assert (reply.text, reply.tier) == ("Bern.", "big")

    async def test_policies_are_the_ends(self) -> None:
        answers: dict[str, Any] = {MODEL: PARIS, "middle": ROME, "big": BERN}
        async with ladder(answers) as (router, _):
            low = await router.chat(QUESTION, max_tokens=100, policy="standard")
            high = await router.chat(QUESTION, max_tokens=100, policy="thinking")
        assert (low.tier, low.path) == ("standard", ("standard",))
        assert (high.tier, high.path) == ("big", ("big",))

    async def test_a_budget_bounds_how_far_up_it_goes(self) -> None:
        answers = {MODEL: [PARIS, ROME], "middle": BERN, "big": Answer("Oslo.")}
        ledger = Ledger.open("memory:", budgets=[Budget("0.005", per="total", policy="refuse")])
        async with ladder(answers, policy="cascade", ledger=ledger) as (router, server):
            reply = await router.chat(QUESTION, max_tokens=400)
            assert reply.tier == "middle"
            with pytest.raises(BudgetExceeded):
                await router.chat(QUESTION, max_tokens=400, policy="thinking")
        assert asked(server) == [MODEL, MODEL, "middle"]
        ledger.close()

    async def test_a_stream_takes_back_what_is_not_the_answer(self) -> None:
        answers = {MODEL: [PARIS, ROME], "middle": BERN, "big": Answer("Oslo.", reasoning="Hm.")}
        async with ladder(answers, policy="cascade") as (router, _):
            stream = router.stream(QUESTION, max_tokens=100, mode="optimistic")
            events = [event async for event in stream]
        assert [event.to for event in events if isinstance(event, Escalated)] == ["middle", "big"]
        last = max(number for number, event in enumerate(events) if isinstance(event, Escalated))
        assert "".join(event.text for event in events[last:] if isinstance(event, TextDelta)) == "Oslo."
        assert stream.reply.tier == "big"

    async def test_a_race_with_the_best_tier(self) -> None:
        answers = {MODEL: [PARIS, ROME], "middle": BERN, "big": BERN}
        wanted = Preferences(race=True, policy="cascade")
        async with ladder(answers, preferences=wanted) as (router, _):
            reply = await router.chat(QUESTION, max_tokens=100)
        assert reply.text == "Bern."
        assert reply.tier in ("middle", "big")

    async def test_an_audit_asks_the_top(self) -> None:
        answers = {MODEL: PARIS, "middle": ROME, "big": PARIS}
        store = RouterStore()
        async with ladder(answers, audit_rate=1.0, store=store) as (router, server):
            await router.chat(QUESTION, max_tokens=100, policy="standard")
            await router.aclose()
        [row] = store.rows()
        store.close()
        assert asked(server) == [MODEL, "big"]
        assert row.same is True

    async def test_a_grader_looks_at_the_answer_that_was_given(self) -> None:
        answers = {MODEL: [PARIS, ROME], "middle": ROME, "big": BERN}
        store = RouterStore()
        graded: Any = {"audit_rate": 1.0, "store": store, "grader": lambda _, reply: reply.text == "Rome."}
        async with ladder(answers, policy="cascade", **graded) as (router, _):
            reply = await router.chat(QUESTION, max_tokens=100)
            await router.aclose()
            report = router.audit()
        [row] = store.rows()
        store.close()
        assert reply.tier == "middle"
        assert (row.kept_right, row.thinking_right, row.tier_right, row.right) == (False, False, {"middle": True}, True)
        assert row.confidence == reply.confidence
        assert report.quality_routed is not None
        assert (report.quality_routed.value, report.labelled) == (1.0, 1)

    async def test_a_scorer_may_know_the_tiers_between(self) -> None:
        class Own:
            def score(self, messages: Any) -> Score:
                score = Prior.builtin().score(messages)
                return score.model_copy(update={"between": ((1.0, 1.0, 0.0, 0.0),)})

        async with ladder({MODEL: PARIS}, scorer=Own()) as (router, server):
            tiers = router.plan(QUESTION).tiers
        assert tiers["middle"] == pytest.approx(tiers["standard"])
        assert server.requests == []

    async def test_always_thinking_models(self) -> None:
        tiers = [Tier(mode="thinking", name="low"), Tier(mode="thinking", model="big", name="max")]
        low = [Answer("Paris.", reasoning="Hm."), Answer("Rome.", reasoning="Hm.")]
        answers: dict[str, Any] = {MODEL: low, "big": Answer("Bern.", reasoning="Hm.")}
        async with ladder(answers, tiers=tiers, policy="cascade") as (router, server):
            reply = await router.chat(QUESTION, max_tokens=100)
            [row] = router.store.rows()
        assert [request.mode_ran for request in server.requests] == ["thinking"] * 3
        assert (reply.path, reply.tier) == (("low", "sample", "escalate", "max"), "max")
        assert row.mode == "thinking"

    def test_without_await(self) -> None:
        with BillServer(PARIS) as server, Client(**settings(server)) as client:
            reply = ModeRouter(client, tiers=["standard", Tier(client, model="big", name="big")]).chat(QUESTION)
        assert reply.text == "Paris."


async def test_an_effort_reaches_the_call_and_bounds_its_length() -> None:
    async with BillServer() as server, AsyncClient(**settings(server)) as client:
        host = client.host
        request = Request(QUESTION, 400, {}, "group")
        assert request.call(host, "thinking", effort="low").options.get("effort") == "low"
        assert request.sample(host, 2, "thinking", 2048).options.get("effort") == 2048
        asked_for = Request(QUESTION, 400, cast("ChatOptions", {"effort": "max"}), "group")
        assert "effort" not in asked_for.standard(host).options
        assert asked_for.thinking(host).options.get("effort") == "max"
        assert asked_for.thinking(host, effort="low").options.get("effort") == "low"
    usual = TokenLength(mode="thinking", expected=800, low=100, high=4000, calls=9, source="prior")
    assert length_at_effort(usual, 256, 50.0, 10_000).expected == 306
    assert length_at_effort(usual, 5000, 50.0, 10_000) == usual
    assert length_at_effort(usual, "low", 50.0, 10_000).expected < length_at_effort(usual, "max", 50.0, 10_000).expected
    measured = usual.model_copy(update={"source": "recorded"})
    assert length_at_effort(measured, "max", 50.0, 10_000) == measured


TABLES = LadderData.builtin()
shares = st.tuples(*[st.floats(0.01, 1.0)] * 4)


class TestBelief:
    @given(shares, st.lists(st.floats(0, 1), max_size=4))
    def test_the_ends_are_what_was_believed(self, weights: tuple[float, ...], places: list[float]) -> None:
        ends = Belief.of(weights)
        joint = JointBelief.of(ends, [TABLES.between(place) for place in places])
        assert sum(joint.cells) == pytest.approx(1)
        assert joint.ends.cells == pytest.approx(ends.cells, abs=1e-5)
        assert joint.p(0) == pytest.approx(ends.p_standard)
        assert joint.p(len(places) + 1) == pytest.approx(ends.p_thinking)

    @given(shares, st.sampled_from([((0,),), ((0,), (-1,)), ((0, -1),), ((0,), (1,)), ((0, 1),)]))
    def test_outcomes_are_shares_of_one(self, weights: tuple[float, ...], groups: Any) -> None:
        compared = Comparisons(TABLES, ["a", "b", "c"])
        for cells in zip(*compared.outcomes(2, groups), strict=True):
            assert sum(cells) == pytest.approx(1)
        joint = JointBelief.of(Belief.of(weights), [TABLES.between(0.5)])
        found = [joint.given(each) for each in compared.outcomes(2, groups)]
        assert sum(chance for chance, _ in found) == pytest.approx(1)
        for tier in range(3):
            assert sum(chance * after.p(tier) for chance, after in found) == pytest.approx(joint.p(tier))

    def test_two_models_that_agree_say_more_than_one_that_agrees_with_itself(self) -> None:
        belief = Belief.of((0.3, 0.1, 0.3, 0.3))
        found = []
        for models in (["a", "b", "c"], ["a", "a", "c"]):
            climb = Climb(Comparisons(TABLES, models), (TABLES.between(0.3),), 1.0)
            found.append(climb.answered(climb.standing(belief, ((0,),)), 1, 0).right)
        assert found[0] > found[1] + 0.03


class TestInduction:
    @given(shares, st.lists(st.floats(1e-4, 1.0), min_size=2, max_size=3))
    def test_it_is_worth_what_trying_every_policy_is(self, weights: tuple[float, ...], prices: list[float]) -> None:
        """Against a plain search over all that can be done after each outcome."""
        count = len(prices) + 1
        between = tuple(TABLES.between(place / (count - 1)) for place in range(1, count - 1))
        climb = Climb(Comparisons(TABLES, list("abcd")[:count]), between, 1.0)
        calls = [TierCall(tier, each, each) for tier, each in enumerate(sorted(prices), 1)]
        standing = climb.standing(Belief.of(weights), ((0,),))

        def best(standing: Standing, left: Sequence[TierCall]) -> float:
            found = [standing.right]
            for number, call in enumerate(left):
                after = climb.outcomes(standing, call.tier)
                found.append(sum(chance * best(each, left[number + 1 :]) for chance, each in after) - call.price)
            return max(found)

        _, ahead = climb.next_call(standing, calls)
        assert ahead.utility(1.0) == pytest.approx(best(standing, calls), abs=0.01)

    def test_a_cheap_tier_of_another_model_serves_as_evidence(self) -> None:
        """Its own answer is no better than the first one; that it says the same, or not, is what it is bought for."""
        climb = Climb(Comparisons(TABLES, ["a", "b", "c"]), ((0.8, 0.3, 0.3, 0.08),), 100.0)
        cheap, dear = TierCall(1, 1.0, 1.0), TierCall(2, 30.0, 30.0)
        standing = climb.standing(Belief.of((0.35, 0.03, 0.45, 0.17)), ((0,),))
        assert standing.belief.p(1) < standing.belief.p(0) + 0.1
        bought, _ = climb.next_call(standing, [cheap, dear])
        assert bought == cheap
        assert climb.next_call(climb.answered(standing, 1, 0), [dear])[0] is None
        assert climb.next_call(climb.answered(standing, 1, 1), [dear])[0] == dear

    def test_more_tiers_in_reach_are_never_worth_less(self) -> None:
        climb = Climb(Comparisons(TABLES, list("abcdef")), tuple(TABLES.between(n / 5) for n in range(1, 5)), 100.0)
        calls = [TierCall(tier, 2.0**tier, 2.0**tier) for tier in range(1, 6)]
        standing = climb.standing(Belief.of((0.3, 0.1, 0.4, 0.2)), ((0,),))
        worth = [climb.next_call(standing, calls[:number])[1].utility(100.0) for number in range(6)]
        assert worth == sorted(worth)


class TestAnotherModel:
    async def test_it_shares_connection_ledger_and_end(self) -> None:
        async with BillServer() as server:
            async with AsyncClient(**settings(server)) as client:
                other = with_model(client, "big")
                await client.chat("Hi")
                await other.chat("Hi")
                assert asked(server) == [MODEL, "big"]
                assert {request.connection for request in server.requests} == {0}
                assert [attempt.model for attempt in client.ledger.attempts()] == [MODEL, "big"]
                assert (client.model, other.model) == (MODEL, "big")
            with pytest.raises(ClientClosed):
                await other.chat("Hi")


class TestRecordedLadders:
    def test_equal_answers_have_equal_numbers(self, tmp_path: Path) -> None:
        models = {
            "small": {"samples_correct": [1, 0, 0], "finals": ["1,234.50 USD", "7", None]},
            "large": {"samples_correct": [1], "finals": ["$1234.5"]},
            "none": {"samples_correct": [], "finals": []},
        }
        row = {"id": "a", "query": "How much is it?\u2028", "dataset": "sums", "models": models}
        path = tmp_path / "rows.jsonl.gz"
        path.write_bytes(gzip.compress((json.dumps(row, ensure_ascii=False) + "\n").encode()))
        [found] = read_ladder(path)
        assert found.answers == {"small": (0, 1, None), "large": (0,)}
        assert (found.right("small"), found.right("small", 1)) == (True, False)
        assert (found.dataset, found.category) == ("sums", "")

    @pytest.mark.parametrize("text", ["{", "[]", '{"id": 1}', '{"id": 1, "query": "", "models": 3}'])
    def test_what_cannot_be_read_is_refused(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "rows.jsonl"
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=r"rows\.jsonl"):
            read_ladder(path)
