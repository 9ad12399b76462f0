"""Two endpoints on the same prompts: interleaved, counted, and told apart only where they differ."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift import AsyncClient, Reply
from deepthrift.compare import Pair, compare, read_prompts, same_text
from deepthrift.compare._statistics import bootstrap, percentile, wilson
from deepthrift.errors import InvalidRequestError
from deepthrift_pricing import Budget, Ledger
from tests.support.bill_server import Answer, BillServer, Failure, Received
from tests.support.doors import booked, settings


@pytest.fixture
def servers() -> Iterator[tuple[BillServer, BillServer]]:
    with BillServer() as a, BillServer() as b:
        yield a, b


async def run(
    servers: tuple[BillServer, BillServer], prompts: Any, ledger: Ledger | None = None, **changes: Any
) -> Any:
    each = {"ledger": ledger, "max_retries": 0}
    options: dict[str, Any] = {"max_tokens": 64, **changes}
    async with AsyncClient(**settings(servers[0], **each)) as a, AsyncClient(**settings(servers[1], **each)) as b:
        return await compare(a, b, prompts, **options)


async def test_both_sides_are_counted(servers: tuple[BillServer, BillServer]) -> None:
    a, b = servers

    def longer(request: Received) -> Answer:
        return Answer("paris!") if "0" in request.question else Answer("It is surely Paris, they say.")

    b.script = longer
    pairs: list[Pair] = []
    with Ledger.open() as ledger:
        found = await run(servers, [f"Prompt {n}" for n in range(6)], ledger, on_pair=pairs.append)
        assert a.bill.total + b.bill.total == booked(ledger)
    assert (found.prompts, found.pairs, found.stopped) == (6, 6, None)
    assert found.a.spend.amount == a.bill.total
    assert found.b.spend.amount == b.bill.total
    assert found.a.completion_tokens == 6
    assert found.b.completion_tokens == 1 + 5 * 6
    assert (found.agreement.same, found.agreement.compared) == (1, 6)
    tokens = found.completion_tokens
    assert tokens.mean == pytest.approx(25 / 6)
    assert tokens.low <= tokens.mean <= tokens.high
    assert tokens.clear
    assert found.cost.clear
    assert found.a.median_seconds <= found.a.p95_seconds
    assert str(a.url) in found.a.name
    assert {pair.row.custom_id for pair in pairs} == {str(n) for n in range(1, 7)}
    line = pairs[0].line()
    assert line["a"]["text"] == "Paris."  # type: ignore[index]
    assert "Paris" not in found.model_dump_json()


async def test_sides_take_turns_to_be_first(servers: tuple[BillServer, BillServer]) -> None:
    order: list[tuple[str, str]] = []
    for name, server in zip("ab", servers, strict=True):

        def script(request: Received, name: str = name) -> Answer:
            order.append((request.question, name))
            return Answer()

        server.script = script
    await run(servers, [f"{n}" for n in range(4)], concurrency=1)
    assert order == [("0", "a"), ("0", "b"), ("1", "b"), ("1", "a"), ("2", "a"), ("2", "b"), ("3", "b"), ("3", "a")]


async def test_identical_sides_do_not_differ(servers: tuple[BillServer, BillServer]) -> None:
    found = await run(servers, [f"Prompt {n}" for n in range(8)])
    assert found.agreement.share == 1
    assert found.agreement.low < 1 == found.agreement.high
    assert not found.cost.clear
    assert not found.completion_tokens.clear
    assert found.cost.mean.pico == 0


async def test_a_failure_is_no_disagreement(servers: tuple[BillServer, BillServer]) -> None:
    servers[1].script = [Failure(422, "no"), Answer(finish_reason="length"), Answer("")]
    found = await run(servers, ["0", "1", "2"], concurrency=1)
    assert (found.pairs, found.b.answered, found.b.failed) == (2, 2, 1)
    assert found.b.errors == {"UnprocessableRequest": 1}
    assert found.b.cut_off == 1
    assert found.agreement is None


async def test_a_side_that_is_left_alone_stops_it(servers: tuple[BillServer, BillServer]) -> None:
    """Before the other one is paid for answers that are compared with nothing."""
    servers[1].script = Failure(500)
    found = await run(servers, [f"Prompt {n}" for n in range(40)], concurrency=1)
    assert "failed 5 times in a row" in found.stopped
    assert len(servers[1].requests) == 5
    assert len(servers[0].requests) in (5, 6)
    assert found.pairs == 0


async def test_a_budget_stops_it(servers: tuple[BillServer, BillServer]) -> None:
    with Ledger.open(budgets=[Budget("0.00015", per="total")]) as ledger:
        found = await run(servers, [f"Prompt {n}" for n in range(50)], ledger, concurrency=2)
        assert booked(ledger) == servers[0].bill.total + servers[1].bill.total <= Decimal("0.00015")
    assert "does not fit the budget" in found.stopped
    assert 0 < found.pairs < 50
    assert found.b.failed == 0, "what was not sent has not failed"


def reply(text: str, finish_reason: str = "stop") -> Reply:
    return Reply.model_construct(text=text, finish_reason=finish_reason, tool_calls=())


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("Paris.", " paris ", True),
        ("**Paris**", "Paris!", True),
        ("a\u00a0b", "A  B", True),
        ("½", "1⁄2", True),
        ("Paris", "Rome", False),
        ("1.5", "15", False),
        ("", "Paris", None),
        ("", "", None),
    ],
)
def test_answers_agree_after_normalisation(a: str, b: str, same: bool | None) -> None:
    assert same_text(reply(a), reply(b), "?") is same
    assert same_text(reply(a), reply(b, "length"), "?") is None


def test_prompts_of_every_form_are_read(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(
        '"One?"\n\n{"prompt": "Two?", "id": "two"}\n{"messages": [{"role": "user", "content": "Three?"}]}\n'
        '{"custom_id": "four", "mode": "thinking", "body": {"messages": [{"role": "user", "content": "Four?"}]}}\n'
    )
    assert [(row.custom_id, row.mode) for row in read_prompts(path)] == [
        ("1", None),
        ("two", None),
        ("4", None),
        ("four", "thinking"),
    ]
    for text, told in (
        ("", "no prompts"),
        ("{", "line 1"),
        ('{"promt": "x"}', "line 1: 'promt' is not a field"),
        ('{"id": 1}', "either prompt or messages"),
        ('{"prompt": "x", "id": "a"}\n{"prompt": "y", "id": "a"}', "line 2: the id 'a'"),
        ('""', "line 1"),
    ):
        path.write_text(text)
        with pytest.raises(InvalidRequestError, match=told):
            read_prompts(path)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_statistics_stay_within_the_values(values: list[float]) -> None:
    tail = percentile(values, 0.95)
    assert tail is not None
    assert tail in values
    found = bootstrap(values)
    if len(values) == 1:
        assert found is None
    else:
        assert found is not None
        mean, low, high = found
        slack = 1e-6 * (1 + max(map(abs, values)))
        assert min(values) - slack <= low <= high <= max(values) + slack
        assert min(values) - slack <= mean <= max(values) + slack
        assert bootstrap(values) == found


@given(st.integers(1, 200), st.data())
def test_the_interval_of_a_share_holds_it(size: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, size))
    interval = wilson(hits, size)
    assert interval is not None
    assert 0 <= interval[0] <= hits / size + 1e-12
    assert hits / size - 1e-12 <= interval[1] <= 1
