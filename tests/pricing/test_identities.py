"""What answers behind a name: a new name or fingerprint is told once, and what hosts write differently is no news."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift_pricing import Identity, Ledger, Mode
from deepthrift_pricing._ledger.rows.identities import change_of, clean, is_new
from deepthrift_pricing.alerts import Alert, AlertMonitor, CallbackSink, ModelChanged
from deepthrift_pricing.errors import LedgerUnavailable
from tests.pricing.ledgers import NOON, REFERENCE, Clock, cost, wanted
from tests.support.databases import STORES, store_url

_LATER = count()
OLD, NEW = Identity("deepseek-v3.1", "fp_1"), Identity("deepseek-v3.2", "fp_2")


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with store_url(request.param, tmp_path) as url:
        yield url


def answer(ledger: Ledger, identity: Identity, *, mode: Mode = "standard", host: str = "vllm") -> str | None:
    """An attempt that `identity` answers; what is told of it."""
    attempt = ledger.try_reserve(wanted(mode=mode, host=host))
    ended_at = NOON + timedelta(microseconds=next(_LATER))
    news = ledger.news_of(attempt, identity)
    ledger.settle(attempt.id, usage=REFERENCE, cost=cost(), ended_at=ended_at, identity=identity)
    return news


def test_a_new_name_is_told_once_and_both_names_are_kept(url: str) -> None:
    with Ledger.open(url, clock=Clock()) as ledger:
        assert [answer(ledger, each) for each in (OLD, OLD)] == [None, None]
        news = answer(ledger, NEW)
        assert news is not None
        assert "'deepseek-v3.1'" in news
        assert "'deepseek-v3.2'" in news
        assert [answer(ledger, each) for each in (NEW, OLD, NEW)] == [None] * 3
        rows = [(row.answered_model, row.fingerprint) for row in ledger.attempts()]
        assert sorted(rows) == [OLD] * 3 + [NEW] * 3
        first, second = ledger.identities(host="vllm", model="deepseek-ai/DeepSeek-V3.1")
        assert (first.changed, first.news, second.changed, second.replaced_model) == (False, "", True, "deepseek-v3.1")
        assert ledger.identities(host="other") == []


def test_another_process_and_a_restart_know_what_was_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Ledger.open(path) as one, Ledger.open(path) as other:
        answer(one, OLD)
        answer(other, OLD)
        assert answer(one, NEW)
        assert answer(other, NEW)  # it sees the new one for the first time, too
        assert answer(other, NEW) is None
        assert len(one.identities()) == 2
    with Ledger.open(path) as again:
        assert answer(again, NEW) is None
        assert answer(again, Identity("deepseek-v4", "fp_3"))


def test_modes_and_hosts_have_names_of_their_own(url: str) -> None:
    with Ledger.open(url) as ledger:
        assert answer(ledger, Identity("deepseek-chat")) is None
        assert answer(ledger, Identity("deepseek-reasoner"), mode="thinking") is None
        assert answer(ledger, Identity("DeepSeek-V3.1"), host="other") is None


@pytest.mark.parametrize(
    ("seen", "found", "told"),
    [
        (["DeepSeek-V3.1"], "deepseek-v3.1", False),
        (["deepseek-ai/DeepSeek-V3.1"], "DeepSeek-V3.1", False),
        (["accounts/x/models/deepseek-v3p1"], "deepseek-v3p1", False),
        (["deepseek-v3.1-2025-08-21"], "deepseek-v3.1-2025-08-21", False),
        (["deepseek-v3.1-2025-08-21"], "deepseek-v3.1-2025-09-22", True),
        ([None], "deepseek-v3.1", False),
        (["deepseek-v3.1"], None, False),
        ([f"model-{number}" for number in range(8)], "model-8", False),
    ],
)
def test_names(seen: list[str | None], found: str | None, told: bool) -> None:
    assert (change_of([Identity(each) for each in seen], Identity(found)) is not None) is told


@pytest.mark.parametrize(
    ("seen", "found", "told"),
    [
        (["a"], "a", False),
        (["a"], "b", True),
        (["a", "b"], "a", False),  # a load balancer in front of two versions
        ([None], "a", False),
        (["a"], None, False),
        ([str(number) for number in range(8)], "8", False),  # one for each request: it means nothing
    ],
)
def test_fingerprints(seen: list[str | None], found: str | None, told: bool) -> None:
    change = change_of([Identity("m", each) for each in seen], Identity("m", found))
    assert (change is not None) is told
    if change is not None:
        assert change.model is None
        assert change.fingerprint == "a"


NAMES = st.sampled_from([None, "m", "M", "x/m", "n", "o"])
PRINTS = st.sampled_from([None, "a", "b", "c"])


@given(st.lists(st.builds(Identity, NAMES, PRINTS), max_size=30))
def test_whatever_comes_each_thing_is_told_once(sequence: list[Identity]) -> None:
    with Ledger.open() as ledger:
        told = [news for each in sequence if (news := answer(ledger, each))]
        assert len(told) == len(set(told))
        rows = ledger.identities()
        assert len(told) == sum(row.changed for row in rows)
        known = [Identity(row.answered_model, row.fingerprint) for row in rows]
        assert not any(is_new(known, each) for each in sequence if each != Identity())
        assert not any(row.changed for row in rows[:1])


@given(st.one_of(st.text(), st.integers(), st.none(), st.just("\ud800 \0"), st.just("x" * 10**6)))
def test_whatever_a_host_sends_as_a_name_can_be_kept(value: object) -> None:
    kept = clean(value)
    assert kept is None or (0 < len(kept) <= 200 and "\0" not in kept and kept.encode())


def test_one_alert_for_a_change_whoever_looks(url: str) -> None:
    heard: list[Alert] = []
    clock = Clock()
    with Ledger.open(url, clock=clock) as ledger:
        monitors = [
            AlertMonitor(ledger, rules=[ModelChanged()], sinks=[CallbackSink(heard.append)], clock=clock)
            for _ in range(2)
        ]

        def look() -> None:
            for monitor in monitors:
                monitor.check()

        for mode in ("standard", "thinking"):
            answer(ledger, OLD, mode=mode)
        look()
        assert heard == []
        for mode in ("standard", "thinking"):
            answer(ledger, NEW, mode=mode)
        look()
        [alert] = heard
        assert (alert.kind, alert.severity) == ("model_changed", "warning")
        assert "deepseek-v3.1" in alert.text
        assert "deepseek-v3.2" in alert.text
        ledger.prune(NOON.replace(year=2030))
        look()
        assert len(heard) == 1
        answer(ledger, Identity("deepseek-v3.2", "fp_9"))
        look()
        assert [alert.severity for alert in heard] == ["warning", "info"]
        clock.move(days=8)
        silent = AlertMonitor(ledger, rules=[ModelChanged()], sinks=[CallbackSink(heard.append, name="x")], clock=clock)
        assert silent.check() == []


def test_a_change_that_could_not_be_written_is_kept_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(tmp_path / "a.db") as ledger:
        answer(ledger, OLD)
        move = ledger._counters.move

        def broken(*arguments: object) -> None:
            raise LedgerUnavailable("the disk is full")

        monkeypatch.setattr(ledger._counters, "move", broken)
        with pytest.raises(LedgerUnavailable):
            answer(ledger, NEW)
        monkeypatch.setattr(ledger._counters, "move", move)
        assert [row.changed for row in ledger.identities()] == [False, True]
