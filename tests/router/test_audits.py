"""Quality is measured on the user's own traffic: audits, labels, estimates, settings, shadows."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from deepthrift import AsyncClient, Client, Messages, Reply
from deepthrift.errors import ConfigurationError, LedgerUnavailable, NoLift, NotEnoughLabels
from deepthrift_pricing import Budget, Ledger, utc_now
from deepthrift_router import Answered, ModeRouter, RouterStore, Setting, SettingsFolder, calibrate
from deepthrift_router._learn.estimates import report_of
from tests.router.support import CANBERRA, QUESTION, SYDNEY, routing
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import settings
from tests.support.waiting import turns

AGREED = Answer("Canberra.")


def labelled_row(
    number: int,
    *,
    gain: float = 0.0,
    kept: bool = True,
    thinking: bool = True,
    evidence: tuple[tuple[str, str, str], ...] = (),
    process: str = "samples=3",
    propensity: float = 1.0,
    mode: str = "standard",
) -> Answered:
    return Answered(
        group_id=f"g{number}",
        at=utc_now(),
        question=f"{number:08x}",
        setting="shipped",
        process=process,
        plan="cascade",
        mode=mode,
        escalated=mode == "thinking",
        cells=(0.4, 0.05, 0.25, 0.3),
        weight=0.2,
        p_standard=0.5 - gain / 2,
        p_thinking=0.5 + gain / 2,
        evidence=evidence,
        cost=1000,
        propensity=propensity,
        kept_right=kept,
        thinking_right=thinking,
        label="grader",
    )


def right(messages: Messages, reply: Reply) -> bool:
    return "Canberra" in reply.text


async def test_an_audit_asks_the_other_mode_in_the_background() -> None:
    """Thinking is answered once the user has the answer: an audit in the user's way would never end."""
    ledger = Ledger.open("memory:")
    answered = threading.Event()

    def handle(request: Any) -> Answer:
        if request.mode_ran == "standard":
            return AGREED
        assert answered.wait(30)
        return Answer("Canberra.", reasoning="Hm.")

    async with (
        BillServer(handle) as server,
        AsyncClient(**settings(server, ledger=ledger)) as client,
        ModeRouter(client, audit_rate=1.0, grader=right) as router,
    ):
        reply = await router.chat(QUESTION, max_tokens=100)
        assert all(attempt.purpose != "audit" for attempt in ledger.attempts() if attempt.status != "reserved")
        answered.set()
        await router._audits.aclose()
        report = router.audit()
        [row] = router.store.rows()
    assert [attempt.purpose for attempt in ledger.attempts()][-1] == "audit"
    assert (row.same, row.kept_right, row.thinking_right, row.propensity) == (True, True, True, 1.0)
    assert row.audit_cost == ledger.attempts()[-1].cost.total.pico
    assert reply.cost.amount < server.bill.total
    assert (report.answers, report.audited, report.labelled) == (1, 1, 1)
    assert report.quality_routed is not None
    assert report.quality_routed.value == 1.0
    ledger.close()


async def test_an_escalated_answer_needs_no_further_call() -> None:
    async with routing([SYDNEY, AGREED], audit_rate=0.0, grader=right) as (router, server), router:
        reply = await router.chat(QUESTION, max_tokens=100)
        await router._audits.aclose()
        [row] = router.store.rows()
    assert len(server.requests) == len(reply.attempts)
    assert (row.same, row.kept_right, row.thinking_right) == (False, False, True)
    assert row.propensity == 1.0


async def test_audits_stay_inside_the_budget() -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.0002", per="day", policy="refuse")])
    async with (
        routing(AGREED.but(text_tokens=60), ledger=ledger, audit_rate=1.0, policy="standard") as (router, server),
        router,
    ):
        await router.chat(QUESTION, max_tokens=100)
        await router._audits.aclose()
        assert router._audits.skipped == 1
    assert server.bill.total <= ledger.budgets[0].limit.amount
    ledger.close()


async def test_audits_end_when_they_are_cancelled() -> None:
    ledger = Ledger.open("memory:")
    async with routing(AGREED, Answer("Canberra.", delay=30.0), ledger=ledger, audit_rate=1.0) as (router, server):
        await router.chat(QUESTION, max_tokens=100, policy="standard")
        await server.until(lambda seen: len(seen.requests) == 2)
        closing = asyncio.ensure_future(router.aclose())
        await turns()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
    assert all(attempt.status != "reserved" for attempt in ledger.attempts())
    ledger.close()


async def test_no_text_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    async with routing([SYDNEY, AGREED], store=path) as (router, _), router:
        await router.chat("Where is the Zanzibar embassy?", max_tokens=100)
    for file in tmp_path.iterdir():
        assert b"Zanzibar" not in file.read_bytes()
        assert b"Sydney" not in file.read_bytes()
    store = RouterStore(path)
    [row] = store.rows()
    assert row.question == store.hash_of("Where is the Zanzibar embassy?") != RouterStore().hash_of("Where is it?")
    store.close()


def test_feedback_reaches_the_other_mode_where_it_must() -> None:
    with BillServer(AGREED) as server, Client(**settings(server)) as client, ModeRouter(client) as router:
        reply = router.chat(QUESTION, max_tokens=100, policy="standard")
        assert router.feedback(reply, correct=True)
        [row] = router.store.rows()
        assert (row.kept_right, row.thinking_right) == (True, None)
        assert not router.feedback("unknown", correct=True)
    same = labelled_row(1).model_copy(update={"same": True, "kept_right": None, "thinking_right": None})
    assert same.with_verdict(False, "feedback").thinking_right is False
    differ = same.model_copy(update={"same": False})
    assert differ.with_verdict(True, "feedback").thinking_right is False
    assert differ.with_verdict(False, "feedback").thinking_right is None


def test_estimates_are_those_of_all_traffic() -> None:
    """Accepted answers are looked at one time in ten, escalated ones always: the weights make up for that."""
    draw = random.Random(3)
    rows = []
    for number in range(20_000):
        hard = draw.random() < 0.3
        if hard:
            rows.append(labelled_row(number, kept=draw.random() < 0.2, thinking=draw.random() < 0.7, mode="thinking"))
        elif draw.random() < 0.1:
            rows.append(labelled_row(number, kept=draw.random() < 0.9, thinking=True, propensity=0.1))
    report = report_of(rows)
    assert report.quality_standard is not None
    assert report.quality_thinking is not None
    assert report.quality_routed is not None
    assert report.quality_standard.value == pytest.approx(0.3 * 0.2 + 0.7 * 0.9, abs=0.03)
    assert report.quality_thinking.value == pytest.approx(0.3 * 0.7 + 0.7, abs=0.03)
    assert report.quality_standard.low < 0.69 < report.quality_standard.high
    assert report.quality_routed.value == pytest.approx(0.3 * 0.7 + 0.7 * 0.9, abs=0.03)


def test_drift_is_told_and_noise_is_not() -> None:
    steady = [labelled_row(number, gain=0.1 * (number % 3)) for number in range(600)]
    assert report_of(steady).drift == ()
    moved = steady + [labelled_row(number, gain=0.9, kept=False, thinking=True) for number in range(600, 800)]
    assert any("confidence in standard" in alert for alert in report_of(moved).drift)
    assert any("right answers" in alert for alert in report_of(moved).drift)
    assert report_of([]).quality_lost is None


async def test_drift_is_told_once() -> None:
    store, told = RouterStore(), list[str]()
    for number in range(600):
        store.add(labelled_row(number, gain=0.9 if number >= 400 else 0.0))
    async with routing(AGREED, store=store, on_drift=told.append, policy="standard") as (router, _), router:
        for _ in range(100):
            await router.chat(QUESTION, max_tokens=50)
    assert [alert for alert in told if "confidence in standard" in alert] == told[:1]
    store.close()


def informative(count: int, seed: int = 5) -> list[Answered]:
    """Labels of a traffic on which log-probabilities tell much, and the base rates are unlike the shipped ones."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        kept = draw.random() < 0.8
        sure = draw.random() < (0.9 if kept else 0.15)
        evidence = (("finish", "any", "complete"), ("logprobs", "any", "above -0.2" if sure else "below -3"))
        rows.append(labelled_row(number, kept=kept, thinking=draw.random() < 0.95, evidence=evidence))
    return rows


def test_calibration_learns_a_signal_that_had_no_weight() -> None:
    setting = calibrate(informative(600))
    assert setting.lift.low > 0
    assert setting.labels == 600
    likelihoods = setting.likelihoods()
    table = likelihoods.table("logprobs")
    assert table is not None
    assert likelihoods.temper("logprobs", 0.5) > 0
    assert table["above -0.2"][0] > table["above -0.2"][2]
    assert len(setting.gains) == 600
    assert setting.process == "samples=3"
    assert likelihoods.table("agreement") is not None
    assert Setting.model_validate_json(setting.model_dump_json()) == setting


def test_a_check_that_got_data_is_part_of_what_the_labels_say() -> None:
    rows = [
        row.model_copy(update={"evidence": (*row.evidence, ("self_check", "3-4", "yes" if row.kept_right else "no"))})
        for row in informative(300)
    ]
    setting = calibrate(rows)
    assert setting.process == "samples=3, self_check"
    assert setting.likelihoods().temper("self_check", 0.5) > 0
    mixed = [row.model_copy(update={"process": "auto"}) if place % 2 else row for place, row in enumerate(rows)]
    assert calibrate(mixed).process == ""


def test_calibration_refuses_what_shows_no_lift() -> None:
    with pytest.raises(NotEnoughLabels) as caught:
        calibrate(informative(40))
    assert (caught.value.labels, caught.value.needed) == (40, 100)
    rows = informative(600)
    setting = calibrate(rows)
    with pytest.raises(NoLift, match="nothing was written"):
        calibrate(informative(600, seed=6), setting)


def test_settings_are_versioned_and_go_back(tmp_path: Path) -> None:
    folder = SettingsFolder(tmp_path / "settings")
    assert folder.current() is None
    first = calibrate(informative(300)).model_copy(update={"version": "20260101T000000Z"})
    second = first.model_copy(update={"version": "20260102T000000Z"})
    folder.write(first)
    folder.write(second)
    assert folder.versions() == [first.version, second.version]
    assert folder.current() == second
    assert folder.rollback() == first
    assert folder.rollback() is None
    assert folder.current() is None
    with pytest.raises(ConfigurationError, match="nothing to go back to"):
        folder.rollback()
    assert folder.rollback(second.version) == second
    with pytest.raises(ConfigurationError, match="no setting"):
        folder.rollback("2020")
    file = folder.path / f"{second.version}.json"
    document = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**document, "surprise": 1}), "utf-8")
    with pytest.raises(ConfigurationError, match="surprise"):
        folder.current()


def test_a_folder_of_settings_that_cannot_be_used_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        SettingsFolder(file).current()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "current").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        SettingsFolder(tmp_path / "folder").current()
    folder = SettingsFolder(tmp_path / "settings")
    folder.write(calibrate(informative(300)))

    def full(self: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ConfigurationError, match="No space left"):
        folder.rollback()
    assert folder.current() is not None


async def test_a_setting_and_a_shadow_are_part_of_the_decision(tmp_path: Path) -> None:
    setting = calibrate(informative(300))
    SettingsFolder(tmp_path).write(setting)
    async with routing(AGREED, settings=tmp_path, shadow=setting) as (router, _), router:
        reply = await router.chat(QUESTION, max_tokens=100)
        assert router.setting == setting
        [row] = router.store.rows()
        assert router.audit().shadow_differs is not None
    assert reply.decision.setting == setting.version
    assert reply.decision.shadow in ("accept", "escalate")
    assert row.shadow == reply.decision.shadow


async def test_the_router_calibrates_on_its_own_store(tmp_path: Path) -> None:
    store = RouterStore()
    for row in informative(300):
        store.add(row)
    async with routing(AGREED, store=store) as (router, _):
        setting = router.calibrate(tmp_path)
    assert SettingsFolder(tmp_path).current() == setting
    store.close()


async def test_a_store_that_cannot_be_written_costs_no_answer(tmp_path: Path) -> None:
    store = RouterStore(tmp_path / "router.db")
    async with routing(AGREED, store=store) as (router, _):
        store.close()
        reply = await router.chat(QUESTION, max_tokens=100)
    assert reply.text == "Canberra."
    assert any("store could not be written" in warning for warning in reply.warnings)


async def test_a_store_that_fails_after_an_escalation_costs_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both modes answered, so both are noted in the store: that it cannot be read by then is no error of the answer."""
    store = RouterStore(tmp_path / "router.db")
    noted: list[str] = []

    def locked(group_id: str, change: Any) -> None:
        noted.append(group_id)
        raise LedgerUnavailable("the router's store is locked")

    monkeypatch.setattr(store, "change", locked)
    async with routing([SYDNEY, AGREED], store=store) as (router, _):
        reply = await router.chat(QUESTION, max_tokens=100, policy="cascade")
    assert (reply.text, noted) == ("Canberra.", [reply.group_id])
    store.close()


def test_a_store_tells_its_failures_as_ledger_errors(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    store = RouterStore(path)
    store.add(labelled_row(1))
    path.write_bytes(b"x" * path.stat().st_size)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    with pytest.raises(LedgerUnavailable, match="cannot be used"):
        RouterStore(path)
    store.close()
    calls: list[Any] = [
        lambda: store.add(labelled_row(2)),
        lambda: store.change("g1", lambda row: row),
        store.rows,
        lambda: store.count_labelled("shipped"),
    ]
    for call in calls:
        with pytest.raises(LedgerUnavailable, match="cannot be used"):
            call()


def test_a_store_keeps_what_it_was_told_to_keep() -> None:
    store = RouterStore(keep=100)
    for number in range(600):
        row = labelled_row(number)
        store.add(row if number < 50 else row.model_copy(update={"kept_right": None}))
    rows = store.rows()
    assert len(rows) < 100 + 256
    assert sum(row.labelled for row in rows) == 50
    assert rows[-1].group_id == "g599"
    store.close()
    store.close()
    with pytest.raises(ConfigurationError):
        RouterStore(keep=0)


def test_a_store_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "router.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LedgerUnavailable, match="later version"):
        RouterStore(path)
    with pytest.raises(LedgerUnavailable):
        RouterStore(tmp_path / "missing" / "router.db")
    assert CANBERRA.text
