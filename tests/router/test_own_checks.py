"""Check objects of a user's own: what they get, what their results weigh, and that none of them costs an answer."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from deepthrift import Client, Reply
from deepthrift.errors import ConfigurationError
from deepthrift_router import CheckResult, Evidence, ModeRouter, Preferences
from deepthrift_router._belief.likelihoods import Likelihoods
from deepthrift_router._belief.posterior import decisive
from deepthrift_router._learn.calibrate import _process
from tests.router.support import CANBERRA, QUESTION, SYDNEY, by_mode, routing
from tests.router.test_checks import fitted
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import settings

AGAINST = CheckResult("foreign", likelihood=(0.01, 0.9), detail="Sydney isn't the seat of government")


@dataclass
class Says:
    """A check that returns or raises the same each time."""

    verdict: Any
    name: str = "capital"
    calls: list[tuple[str, str]] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def judge(self, question: str, reply: Reply) -> Any:
        self.calls.append((question, reply.text))
        self.threads.append(threading.get_ident())
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


class Awaited(Says):
    async def judge(self, question: str, reply: Reply) -> Any:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().judge(question, reply)


def seen(reply: Any, name: str = "capital") -> Evidence:
    return next(item for item in reply.decision.evidence if item.signal == f"check {name!r}")


@pytest.mark.parametrize("kind", [Says, Awaited])
async def test_a_stated_likelihood_moves_the_belief_and_is_on_record(kind: type[Says]) -> None:
    check = kind(AGAINST)
    async with routing(SYDNEY, CANBERRA, checks=[check]) as (router, _):
        reply = await router.chat(QUESTION, max_tokens=400)
    assert check.calls == [(QUESTION, "Sydney.")]
    assert (check.threads[0] == threading.get_ident()) is (kind is Awaited)
    item = seen(reply)
    assert (item.outcome, item.detail, item.decisive) == ("foreign", AGAINST.detail, False)
    assert item.weight is not None
    assert item.weight == pytest.approx(-4.5, abs=0.01)  # the logarithm of 0.01 / 0.9
    assert item.cost.amount == 0
    assert (reply.text, reply.escalated) == ("Canberra.", True)


@pytest.mark.parametrize("verdict", ["foreign", CheckResult("foreign")])
async def test_without_a_likelihood_it_changes_nothing(verdict: Any) -> None:
    async with routing(SYDNEY, CANBERRA) as (router, _):
        plain = await router.chat(QUESTION, max_tokens=400)
    async with routing(SYDNEY, CANBERRA, checks=[Says(verdict)]) as (router, _):
        reply = await router.chat(QUESTION, max_tokens=400)
    assert seen(reply).weight is None
    assert (reply.text, reply.confidence, reply.path) == (plain.text, plain.confidence, plain.path)
    assert any("check 'capital': no recorded outcomes" in note for note in reply.decision.missing)


async def test_what_calibrate_measured_comes_before_what_is_stated() -> None:
    setting = fitted("check 'capital'", {"foreign": (0.9, 0.9, 0.1, 0.1), "fine": (0.1, 0.1, 0.9, 0.9)})
    async with routing(SYDNEY, CANBERRA, checks=[Says(AGAINST)], settings=setting) as (router, _):
        weight = seen(await router.chat(QUESTION, max_tokens=400)).weight
    assert weight is not None
    assert weight > 0


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (RuntimeError("no network"), "it raised RuntimeError: no network"),
        (TimeoutError("upstream"), "it raised TimeoutError: upstream"),
        (AssertionError("wrong"), "it raised AssertionError: wrong"),
        (None, "it has nothing to say about this answer"),
        (True, "it returned True instead of a CheckResult, an outcome or None"),
        ("", "it returned '' instead of a CheckResult, an outcome or None"),
    ],
)
@pytest.mark.parametrize("kind", [Says, Awaited])
async def test_one_that_fails_is_no_evidence_and_costs_no_answer(kind: type[Says], verdict: Any, told: str) -> None:
    async with routing(SYDNEY, CANBERRA, checks=[kind(verdict), Says(AGAINST, name="other")]) as (router, _):
        reply = await router.chat(QUESTION, max_tokens=400)
    assert f"check 'capital': {told}" in reply.decision.missing
    assert seen(reply, "other").outcome == "foreign"
    assert reply.text == "Canberra."


class Never:
    """An awaited check that never ends by itself."""

    name = "never"
    cancelled = False

    def __init__(self) -> None:
        self.started = asyncio.Event()

    async def judge(self, question: str, reply: Reply) -> str:
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "ended"


class Blocks:
    """A plain check that holds its thread until the test lets it go."""

    name = "blocks"

    def __init__(self) -> None:
        self.free = threading.Event()

    def judge(self, question: str, reply: Reply) -> str:
        self.free.wait(30)
        return "ended"


async def test_a_slow_check_is_given_up() -> None:
    never, blocks = Never(), Blocks()
    try:
        async with routing(SYDNEY, CANBERRA, checks=[never, blocks], check_seconds=0.05) as (router, _):
            reply = await router.chat(QUESTION, max_tokens=400)
    finally:
        blocks.free.set()
    assert {"check 'never': it took longer than 0.05 seconds", "check 'blocks': it took longer than 0.05 seconds"} <= {
        *reply.decision.missing
    }
    assert never.cancelled


async def test_labels_count_only_where_the_same_checks_looked() -> None:
    """A promise holds for answers whose evidence is that of the labels."""
    share = Preferences(target_share=0.3)
    async with routing([SYDNEY] * 3, CANBERRA, checks=[Says(AGAINST)], preferences=share) as (router, _):
        await router.chat(QUESTION, max_tokens=400)
        [row] = router.store.rows()
    assert row.process == "samples=3, check 'capital'"
    labelled = [
        row.model_copy(update={"kept_right": False, "thinking_right": number % 3 > 0, "group_id": str(number)})
        for number in range(90)
    ]
    assert _process(labelled, Likelihoods.builtin()) == row.process


async def test_cancelling_the_answer_cancels_its_checks() -> None:
    never = Never()
    async with routing(SYDNEY, CANBERRA, checks=[never]) as (router, _):
        task = asyncio.create_task(router.chat(QUESTION, max_tokens=400))
        await never.started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert never.cancelled


async def test_unusable_answers_are_not_checked() -> None:
    check = Says(AGAINST)
    async with routing(Answer(""), CANBERRA, checks=[check]) as (router, _):
        assert (await router.chat(QUESTION, max_tokens=400)).text == "Canberra."
    assert check.calls == []


@pytest.mark.parametrize(("verdict", "escalated"), [(AGAINST, True), (CheckResult("no", (0.9, 0.1)), False)])
async def test_the_cascade_escalates_on_what_speaks_against_it(verdict: CheckResult, escalated: bool) -> None:
    """By its weight, and not by its word: `no` of one's own check means what its likelihood says."""
    async with routing(SYDNEY, CANBERRA, checks=[Says(verdict)], policy="cascade") as (router, _):
        assert (await router.chat(QUESTION, max_tokens=400)).escalated is escalated


def test_words_of_a_check_mean_nothing_else() -> None:
    assert decisive("repetition", "cut")
    assert not decisive("check 'mine'", "cut")


def test_a_synchronous_router_runs_awaited_checks_too() -> None:
    async def of(answer: Answer) -> None:
        async with BillServer(by_mode(answer, CANBERRA)) as server:
            values = settings(server)
            await asyncio.to_thread(check, values)

    def check(values: Any) -> None:
        with Client(**values) as client, ModeRouter(client, checks=[Awaited(AGAINST)]) as router:
            assert seen(router.chat(QUESTION, max_tokens=400)).outcome == "foreign"

    asyncio.run(of(SYDNEY))


@pytest.mark.parametrize(
    ("checks", "told"),
    [
        (["nonsense"], "'nonsense' is not a check; use one of margin, program, self_check, or an object"),
        ([object()], "is not a check: it has to be an object with a `name`"),
        ([Says], "is not a check"),
        ([Says("a"), Says("b")], "each check needs a name of its own, unlike 'capital'"),
        ([Says("a", name="")], "each check needs a name of its own"),
        ([Says("a", name=3)], "is not a check"),  # type: ignore[arg-type]
    ],
)
async def test_what_is_no_check_is_refused(checks: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        async with routing(SYDNEY, CANBERRA, checks=checks):
            pass


async def test_seconds_are_above_0() -> None:
    with pytest.raises(ConfigurationError, match="check_seconds is above 0"):
        async with routing(SYDNEY, CANBERRA, check_seconds=0):
            pass


@pytest.mark.parametrize(
    "values",
    [
        ("", None),
        (3, None),
        ("x", (0.5, 0.5), None),
        ("x", (0.5, 0.5, 0.5)),
        ("x", [0.5, 0.5]),
        ("x", 0.5),
        (" ", None),
        ("x", (0.0, 0.5)),
        ("x", (0.5, 1.1)),
        ("x", (0.5, float("nan"))),
    ],
)
def test_a_result_that_makes_no_sense_is_refused(values: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigurationError):
        CheckResult(*values)


async def test_the_record_of_an_answer_has_it() -> None:
    async with routing(SYDNEY, CANBERRA, checks=[Says(AGAINST)]) as (router, _):
        reply = await router.chat(QUESTION, max_tokens=400)
    document = json.loads(reply.decision.model_dump_json())
    [item] = [each for each in document["evidence"] if each["signal"] == "check 'capital'"]
    assert item["outcome"] == "foreign"
