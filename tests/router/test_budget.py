"""A routed answer never passes a budget or `max_cost`: it gives up thinking first, and says so."""

from __future__ import annotations

from decimal import Decimal

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift import Reply
from deepthrift.errors import BudgetExceeded
from deepthrift_pricing import AttemptRequest, Budget, Ledger, Money, utc_now
from tests.router.support import CANBERRA, QUESTION, SYDNEY, route, routing
from tests.support.bill_server import Answer


async def test_a_short_budget_gives_up_thinking() -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.0008", per="total")])
    reply, _ = await route([Answer("Sydney.", text_tokens=100), CANBERRA], ledger=ledger)
    assert reply.mode == "standard"
    assert reply.path == ("standard",)
    assert reply.decision.budget_left is not None
    assert any("budget" in note for note in reply.decision.degraded)
    assert "budget" in reply.decision.reason
    assert "budget" in reply.warnings[-1]
    ledger.close()


async def test_a_thinking_budget_that_is_used_up_leaves_the_standard_answer() -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.0001", per="total", mode="thinking", policy="refuse")])
    reply, _ = await route([SYDNEY, Answer("Canberra.")], ledger=ledger)
    assert reply.mode == "standard"
    assert reply.decision.degraded
    ledger.close()


async def test_not_even_a_standard_call_fits() -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.0001", per="total", policy="refuse")])
    with pytest.raises(BudgetExceeded):
        await route(SYDNEY, ledger=ledger)
    assert ledger.attempts() == []
    ledger.close()


async def test_room_that_goes_while_the_answer_is_under_way() -> None:
    """Thinking fits when the plan is made; then another call takes the room, and no evidence is bought any more."""
    ledger = Ledger.open("memory:", budgets=[Budget("0.0021", per="total", policy="refuse")])

    def meanwhile(reply: Reply) -> bool:
        ledger.try_reserve(
            AttemptRequest(
                attempt_id="other",
                call_id="other",
                group_id="other",
                host=reply.host,
                model=reply.model,
                mode="standard",
                prompt_tokens=10,
                max_tokens=900,
                worst=Money.of("0.0016"),
                started_at=utc_now(),
            )
        )
        return True

    reply, server = await route([SYDNEY, Answer("Canberra.")], ledger=ledger, validators=[meanwhile])
    assert reply.decision.plan == "cascade"
    assert reply.path == ("standard",)
    assert len(server.requests) == 1
    assert any("budget" in note for note in reply.decision.degraded)
    assert "budget" in reply.decision.reason
    ledger.close()


LONG = Answer("Sydney.", text_tokens=100)


async def test_max_cost_is_a_promise_about_the_worst_case() -> None:
    low, server = await route([LONG, CANBERRA], max_cost="0.0008")
    assert low.path == ("standard",)
    assert len(server.requests) == 1, "evidence is not bought when thinking is out of reach"
    assert any("max_cost" in note for note in low.decision.degraded)
    assert server.bill.total <= Decimal("0.0008")
    high, server = await route([LONG, CANBERRA], max_cost="0.01")
    assert high.mode == "thinking"
    assert server.bill.total <= Decimal("0.01")
    assert high.decision.max_cost is not None


async def test_a_max_cost_that_no_call_can_keep_is_refused_before_anything_is_sent() -> None:
    async with routing(SYDNEY) as (router, server):
        for policy in ("auto", "standard", "thinking"):
            with pytest.raises(BudgetExceeded) as caught:
                await router.chat(QUESTION, max_tokens=400, max_cost="0.0001", policy=policy)
            assert caught.value.needed is not None
    assert server.requests == []


@given(cost=st.integers(min_value=700, max_value=4000), tokens=st.integers(min_value=1, max_value=400))
@hypothesis.settings(max_examples=15, suppress_health_check=list(hypothesis.HealthCheck))
async def test_no_max_cost_is_ever_passed(cost: int, tokens: int) -> None:
    limit = Decimal(cost).scaleb(-6)
    standard = [Answer("Sydney.", text_tokens=tokens), Answer("Canberra.", text_tokens=tokens)]
    reply, server = await route(standard, max_cost=limit)
    assert server.bill.total <= limit
    assert reply.cost.amount == server.bill.total


async def test_a_budget_per_answer_holds_over_the_whole_group() -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.0012", per="answer", policy="refuse")])
    async with routing([SYDNEY, CANBERRA] * 5, ledger=ledger) as (router, _):
        for _ in range(4):
            reply = await router.chat(QUESTION, max_tokens=400)
            assert reply.cost.amount <= Decimal("0.0012")
    ledger.close()
