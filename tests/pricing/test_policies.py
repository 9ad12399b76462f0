"""What happens when room is short, by policy: wait, refuse, clamp, downgrade, warn; alone, together, and in a crowd."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from deepthrift_pricing import AttemptRequest, Budget, Ledger, Mode, Money, Policy, PriceBook
from deepthrift_pricing.errors import BudgetExceeded, ConfigurationError
from tests.pricing.ledgers import NOON, Clock, cost, spent, wanted
from tests.support.waiting import PATIENCE, turns, until_waiting

BOOK = PriceBook.flat(cache_miss="0.56", completion="1.68", thinking={"completion": "3.36"})
PROMPT = 2000
LEAST = 16
"""Fewer tokens than this are not worth a call."""


def worst(mode: Mode, max_tokens: int) -> Money:
    return BOOK.worst(host="vllm", model="m", mode=mode, prompt_tokens=PROMPT, max_tokens=max_tokens, at=NOON)


def request(mode: Mode = "thinking", max_tokens: int = 500) -> AttemptRequest:
    return wanted(mode=mode).model_copy(update={"max_tokens": max_tokens, "worst": worst(mode, max_tokens)})


def refit(asked: AttemptRequest, room: Money, policy: Policy) -> AttemptRequest | None:
    """What a client does: fewer tokens, or the standard mode first and then fewer tokens."""
    if policy == "downgrade" and asked.mode == "thinking":
        tokens = asked.max_tokens
        return asked.model_copy(update={"mode": "standard", "worst": worst("standard", tokens)})
    most = BOOK.affordable(room, host="vllm", model="m", mode=asked.mode, prompt_tokens=PROMPT, at=NOON)
    if most is None or most < LEAST:
        return None
    tokens = min(most, asked.max_tokens)
    return asked.model_copy(update={"max_tokens": tokens, "worst": worst(asked.mode, tokens)})


Open = Callable[..., Ledger]


@pytest.fixture
def open_ledger() -> Iterator[Open]:
    with ExitStack() as stack:
        yield lambda *budgets: stack.enter_context(Ledger.open("memory:", budgets=budgets, clock=Clock()))


def test_clamp_reserves_exactly_what_is_left(open_ledger: Open) -> None:
    ledger = open_ledger(Budget("0.002", per="day", policy="clamp"))
    attempt = ledger.try_reserve(request(), refit=refit)
    assert attempt.reserved == worst("thinking", 261)  # (0.002 - 0.00112) ÷ 0.00000336 = 261.9
    assert attempt.mode == "thinking"
    ledger.settle(attempt.id, usage=None, cost=cost("0.0006"), ended_at=NOON)
    again = ledger.try_reserve(request(), refit=refit)
    assert again.reserved == worst("thinking", 83)
    with pytest.raises(BudgetExceeded):
        ledger.try_reserve(request(), refit=refit)


def test_a_request_that_fits_is_left_as_it_is(open_ledger: Open) -> None:
    ledger = open_ledger(Budget("1", per="day", policy="clamp"))

    def never(*_: object) -> None:
        raise AssertionError("there was room")

    asked = request()
    assert ledger.try_reserve(asked, refit=never).reserved == asked.worst


def test_downgrade_goes_to_standard_mode_before_it_shortens(open_ledger: Open) -> None:
    ledger = open_ledger(Budget("0.002", per="day", policy="downgrade"))
    attempt = ledger.try_reserve(request(), refit=refit)
    assert (attempt.mode, attempt.reserved) == ("standard", worst("standard", 500))
    stored = ledger.attempt(attempt.id)
    assert stored is not None
    assert (stored.mode, stored.reserved) == (attempt.mode, attempt.reserved)


def test_a_downgraded_request_is_held_to_the_budgets_of_its_new_mode(open_ledger: Open) -> None:
    ledger = open_ledger(
        Budget("0.001", per="day", mode="thinking", policy="downgrade"),
        Budget("0.0015", per="day", mode="standard", policy="clamp"),
    )
    attempt = ledger.try_reserve(request(), refit=refit)
    assert attempt.mode == "standard"
    assert attempt.reserved == worst("standard", 226)  # (0.0015 - 0.00112) ÷ 0.00000168 = 226.2
    thinking, standard = ledger.budget_status()
    assert thinking.reserved == Money(0)
    assert standard.reserved == attempt.reserved


def test_a_budget_that_refuses_beside_one_that_clamps_refuses(open_ledger: Open) -> None:
    ledger = open_ledger(Budget("0.002", per="day", policy="clamp"), Budget("0.002", per="month", policy="refuse"))
    with pytest.raises(BudgetExceeded):
        ledger.try_reserve(request(), refit=refit)


def test_without_a_way_to_refit_both_refuse(open_ledger: Open) -> None:
    for policy in ("clamp", "downgrade"):
        ledger = open_ledger(Budget("0.002", per="day", policy=policy))
        with pytest.raises(BudgetExceeded):
            ledger.try_reserve(request())


@pytest.mark.parametrize("change", [{"attempt_id": "another"}, {"worst": Money(-1)}])
def test_a_refit_that_cheats_is_an_error(open_ledger: Open, change: dict[str, object]) -> None:
    ledger = open_ledger(Budget("0.002", per="day", policy="clamp"))
    with pytest.raises(ConfigurationError, match="same attempt"):
        ledger.try_reserve(request(), refit=lambda asked, *_: asked.model_copy(update=change))
    assert ledger.attempts() == []


def test_a_refit_that_never_fits_ends_in_a_refusal(open_ledger: Open) -> None:
    ledger = open_ledger(Budget("0.002", per="day", policy="clamp"))
    with pytest.raises(BudgetExceeded):
        ledger.try_reserve(request(), refit=lambda asked, *_: asked)


async def test_a_clamped_call_waits_when_even_the_least_has_no_room_yet(open_ledger: Open) -> None:
    ledger = open_ledger(Budget("0.002", per="day", policy="clamp"))
    first = ledger.try_reserve(request(), refit=refit)
    waiting = asyncio.create_task(ledger.reserve(request(), refit=refit))
    await until_waiting(ledger, 1)
    assert not waiting.done()
    ledger.settle(first.id, usage=None, cost=cost("0.0002"), ended_at=NOON)
    async with asyncio.timeout(PATIENCE):
        second = await waiting
    assert second.reserved == worst("thinking", 202)
    ledger.release(second.id, ended_at=NOON)


@pytest.mark.parametrize("policy", ["clamp", "downgrade"])
async def test_a_crowd_under_either_policy_overspends_nothing(open_ledger: Open, policy: Policy) -> None:
    ledger = open_ledger(Budget("0.02", per="day", policy=policy))

    async def call() -> bool:
        try:
            attempt = await ledger.reserve(request(), refit=refit)
        except BudgetExceeded:
            return False
        await turns()
        ledger.settle(attempt.id, usage=None, cost=cost(str(attempt.reserved.amount)), ended_at=NOON)
        return True

    results = await asyncio.gather(*(call() for _ in range(64)))
    assert 7 <= sum(results) < 64
    assert Money.of("0.0188") < spent(ledger) <= Money.of("0.02")
