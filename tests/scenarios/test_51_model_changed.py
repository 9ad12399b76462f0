"""51. The model or the fingerprint behind a name changes: warned, recorded, alerted once, promises suspended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from deepthrift import AsyncClient, Reply
from deepthrift.errors import NotEnoughLabels
from deepthrift_pricing import Ledger
from deepthrift_pricing.alerts import Alert, AlertMonitor, CallbackSink
from deepthrift_router import ModeRouter, Preferences, RouterStore
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import PROMPT, Door, ask, every_door, settings

OLD = Answer("Paris.", model="deepseek-v3.1", fingerprint="fp_a")
NEW = OLD.but(model="deepseek-v3.2", fingerprint="fp_b")
VERSION = OLD.but(fingerprint="fp_b")


def news(reply: Reply) -> list[str]:
    return [each for each in reply.warnings if "answers for" in each]


@every_door
@pytest.mark.parametrize(
    ("later", "names"), [(NEW, ("deepseek-v3.1", "deepseek-v3.2")), (VERSION, ("fp_a", "fp_b"))], ids=["name", "print"]
)
async def test_a_warning_on_the_reply_both_names_in_the_ledger_and_one_alert(
    door: Door, later: Answer, names: Sequence[str], tmp_path: Path
) -> None:
    heard: list[Alert] = []
    url = f"sqlite:///{tmp_path / 'spend.db'}"
    async with BillServer([OLD, OLD, later]) as server:
        for number in range(4):  # every call is a new process's as far as the ledger goes
            with Ledger.open(url) as ledger:
                reply = await ask(door, server, max_tokens=50, client={"ledger": ledger})
                AlertMonitor(ledger, sinks=[CallbackSink(heard.append)]).check()
            assert bool(news(reply)) is (number == 2)
            if number == 2:
                assert all(name in news(reply)[0] for name in names)
    with Ledger.open(url) as ledger:
        rows = [(attempt.answered_model, attempt.fingerprint) for attempt in ledger.attempts()]
        assert rows == [(OLD.model, "fp_a")] * 2 + [(later.model, "fp_b")] * 2
        assert AlertMonitor(ledger, sinks=[CallbackSink(heard.append)]).check() == []
    [alert] = [each for each in heard if each.kind == "model_changed"]
    assert all(name in alert.text for name in names)


@pytest.mark.parametrize(
    "answers",
    [
        [OLD.but(model="DeepSeek-V3.1"), OLD.but(model="deepseek-v3.1"), OLD.but(model="deepseek-ai/DeepSeek-V3.1")],
        [OLD.but(model="deepseek-v3.1-0821")] * 3,
        [OLD, OLD.but(fingerprint=None), OLD],
    ],
    ids=["spelling", "alias", "silent"],
)
async def test_what_hosts_write_differently_is_no_news(answers: Sequence[Answer]) -> None:
    async with BillServer(answers) as server, AsyncClient(**settings(server)) as client:
        replies = [await client.chat(PROMPT, max_tokens=50) for _ in range(4)]
        assert [news(reply) for reply in replies] == [[]] * 4


async def test_two_versions_behind_a_load_balancer_are_told_of_once() -> None:
    async with BillServer([OLD, VERSION] * 6) as server, AsyncClient(**settings(server)) as client:
        replies = [await client.chat(PROMPT, max_tokens=50) for _ in range(12)]
    assert [bool(news(reply)) for reply in replies] == [False, True] + [False] * 10


async def test_a_promise_is_suspended_until_audits_confirm_it() -> None:
    """Standard and thinking answers are the same and right, so audits soon bear the promise out, and do so again."""
    promise = Preferences(max_quality_loss=0.3)
    now = OLD
    store = RouterStore()

    def grader(messages: object, reply: Reply) -> bool:
        return "Paris" in reply.text

    async with (
        BillServer(lambda request: now) as server,
        AsyncClient(**settings(server)) as client,
        ModeRouter(client, store=store, audit_rate=1.0, grader=grader, max_samples=1) as router,
    ):
        learn = Preferences(target_share=0.5)  # evidence is bought in one way, as for the promise

        async def calls_until_promised() -> int:
            for number in range(200):
                try:
                    plan = router.plan(PROMPT, max_tokens=50, preferences=promise)
                except NotEnoughLabels:
                    plan = None
                if plan is not None and not any("suspended" in each for each in plan.degraded):
                    return number
                await router.chat(PROMPT, max_tokens=50, preferences=learn if plan is None else promise)
                while router.audit().audited < router.audit().answers:
                    await router.aclose()  # waits for the audits under way
            raise AssertionError("never promised")

        assert await calls_until_promised() > 0
        before = await router.chat(PROMPT, max_tokens=50, preferences=promise)
        assert not any("suspended" in each for each in before.warnings)
        now = NEW
        await router.chat(PROMPT, max_tokens=50, preferences=promise)
        after = await router.chat(PROMPT, max_tokens=50, preferences=promise)
        assert any("suspended" in each and "deepseek-v3.2" in each for each in after.warnings)
        assert after.mode == "thinking"
        assert await calls_until_promised() > 0
        again = await router.chat(PROMPT, max_tokens=50, preferences=promise)
        assert not any("suspended" in each for each in again.warnings)
    store.close()
