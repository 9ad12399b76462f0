"""Another model behind the name: promises wait for labels of it, and say so."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from pathlib import Path

import pytest

from deepthrift.errors import NotEnoughLabels
from deepthrift_pricing import Identity, Ledger, utc_now
from deepthrift_router import Preferences, RouterStore
from deepthrift_router._learn.calibrate import LEAST_LABELS, doubt_of
from deepthrift_router._learn.memory import Memory
from deepthrift_router._record.changes import Change
from tests.pricing.ledgers import REFERENCE, cost, wanted
from tests.router.support import CANBERRA, QUESTION, routing
from tests.router.test_audits import labelled_row
from tests.router.test_checks import fitted
from tests.support.bill_server import Answer
from tests.support.doors import MODEL

AGREED = Answer("Canberra.", model="deepseek-v3.1")
SWAPPED = Answer("Canberra.", model="another-model")
LOSS = Preferences(max_quality_loss=0.02)


def labels(store: RouterStore, count: int, *, first: int = 0, days_ago: float = 0.0) -> None:
    """Labels that bear a promise out."""
    for number in range(first, first + count):
        row = labelled_row(number, gain=-0.2 if number % 2 else 0.6, kept=bool(number % 2), thinking=True)
        store.add(row.model_copy(update={"at": utc_now() - timedelta(days=days_ago)}))


def changed(ledger: Ledger, *, days_ago: float = 0.0) -> None:
    """Another model has answered since then."""
    for name in ("deepseek-v3.1", "another-model"):
        attempt = ledger.try_reserve(wanted(model=MODEL))
        at = utc_now() - timedelta(days=days_ago)
        ledger.settle(attempt.id, usage=REFERENCE, cost=cost(), ended_at=at, identity=Identity(name))


async def test_a_bound_is_kept_by_thinking_until_new_labels_bear_it_out() -> None:
    store = RouterStore()
    labels(store, 400, days_ago=1)
    answers = [AGREED, AGREED, AGREED, SWAPPED]
    async with routing(answers, store=store) as (router, _):
        before = await router.chat(QUESTION, max_tokens=100, preferences=LOSS)
        seen = await router.chat(QUESTION, max_tokens=100)
        after = await router.chat(QUESTION, max_tokens=100, preferences=LOSS)
        plan = router.plan(QUESTION, max_tokens=100, preferences=LOSS)
        report = router.audit()
        labels(store, 400, first=1000)
        again = await router.chat(QUESTION, max_tokens=100, preferences=LOSS)
    assert before.decision.threshold is not None
    assert before.decision.threshold > -0.2
    assert not any("suspended" in each for each in before.warnings)
    assert any("'another-model'" in each and "'deepseek-v3.1'" in each for each in seen.warnings)
    assert after.decision.threshold == -1
    assert after.path[-1] == "escalate"
    for said in (after.warnings, after.decision.degraded, plan.degraded):
        [told] = [each for each in said if "suspended" in each]
        assert "'another-model'" in told
        assert "0 labelled calls" in told
    assert report.model_changed is not None
    assert "0 labels are from after it" in report.model_changed
    assert again.decision.threshold is not None
    assert again.decision.threshold > -0.2
    assert not any("suspended" in each for each in (*again.warnings, *again.decision.degraded))
    store.close()


async def test_a_restart_knows_of_the_change(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "spend.db") as ledger:
        changed(ledger, days_ago=1)
    with contextlib.closing(RouterStore(tmp_path / "router.db")) as store, Ledger.open(tmp_path / "spend.db") as ledger:
        labels(store, 400, days_ago=2)
        async with routing(SWAPPED, ledger=ledger, store=store) as (router, _):
            reply = await router.chat(QUESTION, max_tokens=100, preferences=LOSS)
        assert any("suspended" in each for each in reply.warnings)
        assert not any("no longer" in each and "measured" in each for each in reply.warnings)  # no news any more
        known = store.change_known()
        assert known is not None
        assert "another-model" in known.news


async def test_too_few_labels_before_and_after_are_an_error_as_ever() -> None:
    with Ledger.open() as ledger:
        changed(ledger)
        async with routing(SWAPPED, ledger=ledger) as (router, server):
            with pytest.raises(NotEnoughLabels):
                await router.chat(QUESTION, max_tokens=100, preferences=LOSS)
            assert server.requests == []


async def test_a_setting_from_before_is_not_confirmed_and_works_on() -> None:
    setting = fitted("self_check", {"sure": (0.9, 0.9, 0.1, 0.1), "no": (0.1, 0.1, 0.9, 0.9)})
    setting = setting.model_copy(update={"made": utc_now() - timedelta(days=2)})
    with Ledger.open() as ledger:
        changed(ledger, days_ago=1)
        async with routing(SWAPPED, ledger=ledger, settings=setting) as (router, _):
            reply = await router.chat(QUESTION, max_tokens=100)
            assert router.setting == setting
        [told] = [each for each in reply.warnings if "calibrated before" in each]
        assert f"0 of the {LEAST_LABELS} labelled answers" in told
        newer = setting.model_copy(update={"made": utc_now()})
        async with routing(SWAPPED, ledger=ledger, settings=newer) as (router, _):
            reply = await router.chat(QUESTION, max_tokens=100)
        assert not any("calibrated before" in each for each in reply.warnings)


async def test_without_promises_nothing_is_said() -> None:
    with Ledger.open() as ledger:
        changed(ledger)
        async with routing([SWAPPED] * 4, CANBERRA, ledger=ledger) as (router, _):
            reply = await router.chat(QUESTION, max_tokens=100)
        assert not any("since 20" in each for each in (*reply.warnings, *reply.decision.degraded))


def test_labels_confirm_a_setting_or_call_for_another() -> None:
    setting = fitted("agreement", {"agree": (0.97, 0.01, 0.01, 0.01), "disagree": (0.01, 0.33, 0.33, 0.33)})
    good = [labelled_row(number, evidence=(("agreement", "any", "agree"),)) for number in range(LEAST_LABELS)]
    assert doubt_of(good[:-1], setting) is not None
    wrong = {"kept_right": False, "thinking_right": False}
    bad = [row.model_copy(update=wrong) for row in good]
    doubts = {doubt_of(rows, setting) for rows in (good, bad)}
    assert None in doubts  # agreement means much here: where it is right that helps, and where it is wrong it hurts
    [doubt] = doubts - {None}
    assert doubt is not None
    assert "calibrate again" in doubt


async def test_calibrate_counts_labels_from_after_the_change_only() -> None:
    store = RouterStore()
    labels(store, 300, days_ago=2)
    with Ledger.open() as ledger:
        changed(ledger, days_ago=1)
        async with routing(SWAPPED, ledger=ledger, store=store) as (router, _):
            with pytest.raises(NotEnoughLabels, match=r"0 labelled answers.*only labels from after|Only labels"):
                router.calibrate()
    store.close()


def test_controls_of_two_moments_do_not_mix() -> None:
    store = RouterStore()
    labels(store, 400, days_ago=2)
    memory = Memory(store, None, None, 3, own_scorer=False)
    change = Change(utc_now() - timedelta(days=1), "x")
    for _ in range(2):
        free, bound = memory.threshold(LOSS), memory.threshold(LOSS, change)
        assert free is not None
        assert bound is not None
        assert (free.suspended, bound.suspended) == (False, True)
    labels(store, 400, first=1000)
    found = memory.threshold(LOSS, change)
    assert found is not None
    assert not found.suspended
    store.close()
