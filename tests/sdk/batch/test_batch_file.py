"""A batch from file to file: what is written, what is refused, and how it is gone on with."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deepthrift import AsyncClient, Client, Reply
from deepthrift.batch import BatchProgress
from deepthrift.errors import (
    BatchError,
    BudgetExceeded,
    CircuitOpen,
    ConnectionFailed,
    DeepthriftError,
    InsufficientBalance,
    InvalidRequestError,
    ServerError,
)
from deepthrift_pricing import Budget, Ledger
from tests.sdk.batch.files import last_lines, read_lines, row, write_rows
from tests.support.bill_server import Answer, BillServer, Drop, Failure, Received
from tests.support.doors import booked, settings
from tests.support.waiting import until

ROWS = [row("a"), row("b", mode="thinking"), row("c", "Capital of Italy?")]


@pytest.fixture
def server() -> Iterator[BillServer]:
    with BillServer() as bill:
        yield bill


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "in.jsonl", ROWS)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


async def run(server: BillServer, source: Path, out: Path, ledger: Ledger | None = None, **options: Any) -> Any:
    async with AsyncClient(**settings(server, ledger=ledger, max_retries=0)) as client:
        return await client.batch_file(source, out, **options)


async def test_each_row_has_a_line_in_the_openai_format(server: BillServer, source: Path, out: Path) -> None:
    told: list[BatchProgress] = []
    with Ledger.open() as ledger:
        summary = await run(server, source, out, ledger, on_progress=told.append)
        assert (summary.rows, summary.answered, summary.unsent, summary.stopped) == (3, 3, 0, None)
        assert summary.complete
        assert summary.spend.amount == summary.run_spend.amount == server.bill.total == booked(ledger)
    lines = last_lines(out)
    assert set(lines) == {"a", "b", "c"}
    b = lines["b"]
    assert set(b) == {"id", "custom_id", "response", "error", "deepthrift"}
    assert b["error"] is None
    assert b["response"]["status_code"] == 200
    body = b["response"]["body"]
    assert body["object"] == "chat.completion"
    [choice] = body["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": "Paris.",
        "reasoning_content": "The user asks for a capital.",
    }
    assert choice["finish_reason"] == "stop"
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
    extras = b["deepthrift"]
    assert (extras["line"], extras["outcome"], extras["mode"], extras["attempts"]) == (2, "answered", "thinking", 1)
    assert sum(Decimal(line["deepthrift"]["cost"]) for line in lines.values()) == server.bill.total
    assert {path.stat().st_mode & 0o777 for path in out.parent.glob("out.*")} == {0o600}
    assert [each.done for each in told] == [0, 1, 2, 3]
    assert told[-1].seconds_left == 0


def test_the_synchronous_client_does_the_same(server: BillServer, source: Path, out: Path) -> None:
    with Client(**settings(server)) as client:
        summary = client.batch_file(source, out, mode="thinking")
    assert summary.answered == 3
    assert {line["deepthrift"]["mode"] for line in read_lines(out)} == {"thinking"}


async def test_a_second_run_sends_nothing_again(server: BillServer, source: Path, out: Path) -> None:
    first = await run(server, source, out)
    written = out.read_bytes()
    second = await run(server, source, out)
    assert len(server.requests) == 3
    assert out.read_bytes() == written
    assert (second.answered, second.run_rows, second.run_spend) == (3, 0, None)
    assert second.spend == first.spend


async def test_wrong_rows_are_told_by_line_and_nothing_is_sent(server: BillServer, source: Path, out: Path) -> None:
    write_rows(source, [row("a"), row("a"), {"custom_id": "c"}, row("d", body={"temperature": 9}), row("e")])
    with pytest.raises(InvalidRequestError) as caught:
        await run(server, source, out)
    assert "3 of 5 rows" in caught.value.message
    assert "line 2: the custom_id 'a' is that of an earlier row" in caught.value.message
    assert "line 3: body is a JSON object, not nothing" in caught.value.message
    assert "line 4: temperature" in caught.value.message
    assert not server.requests
    assert not out.read_bytes()
    write_rows(source, ROWS)
    assert (await run(server, source, out)).complete


async def test_errors_have_the_openai_shape_and_failed_rows_are_retried_when_asked(
    server: BillServer, source: Path, out: Path
) -> None:
    def script(request: Received) -> Answer | Failure | Drop:
        if "Italy" in request.question and request.number < 3:
            return Failure(422, "no such place")
        return Answer()

    server.script = script
    summary = await run(server, source, out)
    assert (summary.answered, summary.failed, summary.unsent) == (2, 1, 0)
    line = last_lines(out)["c"]
    assert line["error"] is None
    assert line["response"]["status_code"] == 422
    assert line["response"]["body"]["error"]["type"] == "UnprocessableRequest"
    assert line["response"]["body"]["error"]["code"] == "unprocessable_request"
    assert line["deepthrift"]["outcome"] == "failed"
    assert Decimal(line["deepthrift"]["cost"]) == 0
    assert (await run(server, source, out)).failed == 1
    assert len(server.requests) == 3
    summary = await run(server, source, out, retry_failed=True)
    assert (summary.answered, summary.failed, summary.run_rows) == (3, 0, 1)
    assert len(server.requests) == 4
    assert last_lines(out)["c"]["deepthrift"]["outcome"] == "answered"


async def test_what_may_be_billed_is_sent_again_only_when_asked(server: BillServer, source: Path, out: Path) -> None:
    server.script = [Answer(), Drop(billed=Answer()), Answer()]
    summary = await run(server, source, out, concurrency=1)
    assert (summary.answered, summary.unanswered) == (2, 1)
    line = last_lines(out)["b"]
    assert line["response"] is None
    assert line["error"]["code"] == "connection_failed"
    assert line["deepthrift"]["outcome"] == "unanswered"
    assert Decimal(line["deepthrift"]["cost"]) > 0
    for options in list[dict[str, Any]]([{}, {"retry_failed": True}]):
        assert (await run(server, source, out, **options)).unanswered == 1
    assert len(server.requests) == 3
    summary = await run(server, source, out, retry_unanswered=True)
    assert (summary.answered, summary.unanswered) == (3, 0)
    assert summary.spend.amount > server.bill.total, "the lost answer stays at its worst case"


async def test_a_budget_stops_it_and_another_run_goes_on(server: BillServer, source: Path, out: Path) -> None:
    write_rows(source, [row(str(number)) for number in range(40)])
    with Ledger.open(budgets=[Budget("0.0002", per="total")]) as ledger:
        summary = await run(server, source, out, ledger, concurrency=4)
        assert isinstance(summary.stopped, BudgetExceeded)
        assert 0 < summary.answered < 40
        assert summary.answered + summary.unsent == 40
        assert server.bill.total == booked(ledger) <= Decimal("0.0002")
    sent = len(server.requests)
    assert sent == summary.answered == len(read_lines(out))
    again = await run(server, source, out)
    assert (again.answered, again.run_rows, again.stopped) == (40, 40 - sent, None)
    assert len(server.requests) == 40


@pytest.mark.parametrize(
    "budget", [Budget("0.0002", per="call"), Budget("0.0002", per="total"), Budget("0.0002", per="day", each="user")]
)
async def test_a_budget_that_refuses_one_row_alone_stops_nothing(
    server: BillServer, source: Path, out: Path, budget: Budget
) -> None:
    write_rows(source, [row("a"), row("big", body={"max_tokens": 4000}, tags={"user": "u"}), row("c")])
    with Ledger.open(budgets=[budget]) as ledger:
        summary = await run(server, source, out, ledger, concurrency=1)
    assert (summary.answered, summary.failed, summary.stopped) == (2, 1, None)
    line = last_lines(out)["big"]
    assert line["error"]["code"] == "budget_exceeded"
    assert line["deepthrift"]["cost"] is None


async def test_what_would_meet_every_row_stops_it(server: BillServer, source: Path, out: Path) -> None:
    server.script = Failure(402, "Insufficient Balance")
    summary = await run(server, source, out, concurrency=1)
    assert isinstance(summary.stopped, InsufficientBalance)
    assert (summary.unsent, len(server.requests)) == (3, 1)
    assert not out.read_bytes()
    server.script = Answer()
    assert (await run(server, source, out)).complete


async def test_an_endpoint_that_is_not_there_stops_it_at_once(source: Path, out: Path) -> None:
    with BillServer() as gone:
        url = gone.url
    async with AsyncClient(**settings(url, max_retries=0)) as client:
        summary = await client.batch_file(source, out, concurrency=1)
    assert isinstance(summary.stopped, ConnectionFailed)
    assert (summary.failed, summary.unsent) == (0, 3)


class Away:
    """A client in whose way something comes after the first row: so often, and nothing was sent."""

    def __init__(self, client: AsyncClient, error: DeepthriftError, times: int) -> None:
        self.client, self.error, self.times, self.calls = client, error, times, 0

    async def chat(self, messages: Any, *, max_tokens: int | None = None, **options: Any) -> Reply:
        self.calls += 1
        if 1 < self.calls <= 1 + self.times:
            raise self.error
        return await self.client.chat(messages, max_tokens=max_tokens, **options)


@pytest.mark.parametrize(("times", "answered"), [(3, 3), (100, 1)])
async def test_an_endpoint_that_is_away_for_a_while_is_waited_for(
    server: BillServer, source: Path, out: Path, times: int, answered: int
) -> None:
    write_rows(source, [row("a"), row("b"), row("c")])
    async with AsyncClient(**settings(server)) as client:
        away = Away(client, CircuitOpen("it is left alone", retry_after=0.01), times)
        summary = await client.batch_file(source, out, concurrency=1, through=away)
    assert (summary.answered, summary.failed, summary.unsent) == (answered, 0, 3 - answered)
    assert isinstance(summary.stopped, CircuitOpen) is (answered == 1)


async def test_an_endpoint_that_fails_row_after_row_stops_it(server: BillServer, source: Path, out: Path) -> None:
    write_rows(source, [row(str(number)) for number in range(100)])
    server.script = Failure(500, "broken")
    async with AsyncClient(**settings(server, max_retries=0, circuit_breaker=None)) as client:
        summary = await client.batch_file(source, out, concurrency=4)
    assert 8 <= summary.unanswered <= 12
    assert (summary.failed, summary.unsent) == (0, 100 - summary.unanswered)
    assert isinstance(summary.stopped, ServerError)


async def test_a_busy_endpoint_is_given_the_pause_it_asks_for(server: BillServer, source: Path, out: Path) -> None:
    server.script = [Failure(429, retry_after="0.05"), Failure(503, retry_after="0.05"), Answer()]
    summary = await run(server, source, out, concurrency=1)
    assert (summary.answered, summary.failed) == (3, 0)
    assert len(server.requests) == 5


async def test_another_input_or_another_way_is_refused(server: BillServer, source: Path, out: Path) -> None:
    await run(server, source, out)
    with pytest.raises(BatchError, match="begun with mode=None"):
        await run(server, source, out, mode="thinking")
    write_rows(source, [*ROWS, row("d")])
    with pytest.raises(BatchError, match=r"is not what .* was begun with"):
        await run(server, source, out)
    assert len(server.requests) == 3


async def test_files_of_others_are_refused(server: BillServer, source: Path, out: Path, tmp_path: Path) -> None:
    out.write_text("mine\n")
    with pytest.raises(BatchError, match="has no journal"):
        await run(server, source, out)
    assert out.read_text() == "mine\n"
    with pytest.raises(BatchError, match="is the in file"):
        await run(server, source, source)
    with pytest.raises(BatchError, match="cannot be read"):
        await run(server, tmp_path / "none.jsonl", tmp_path / "other.jsonl")
    assert not server.requests


async def test_a_second_process_is_refused(server: BillServer, source: Path, out: Path) -> None:
    """The lock is of the open file, so another opening of it in this process is refused alike."""
    from deepthrift.batch._run_file import FilePair

    with FilePair(source, out), pytest.raises(BatchError, match="another process is writing"):
        await run(server, source, out)
    assert (await run(server, source, out)).complete


async def test_a_torn_line_is_cut_off_or_completed(server: BillServer, source: Path, out: Path) -> None:
    await run(server, source, out, concurrency=1)
    journal = out.with_name("out.jsonl.journal")
    whole = out.read_bytes()
    # The line feed alone is missing: the answer is whole.
    out.write_bytes(whole[:-1])
    assert (await run(server, source, out)).answered == 3
    assert out.read_bytes() == whole
    # The answer is torn: it was begun, so it may be billed, and is not sent again unasked.
    out.write_bytes(whole[:-40])
    summary = await run(server, source, out)
    assert (summary.answered, summary.unanswered) == (2, 1)
    assert len(read_lines(out)) == 3
    assert last_lines(out)["c"]["error"]["code"] == "unanswered"
    assert len(server.requests) == 3
    # A torn entry of the journal was not begun.
    with journal.open("ab") as file:
        file.write(b'{"start')
    assert (await run(server, source, out, retry_unanswered=True)).answered == 3
    assert len(server.requests) == 4
    with out.open("r+b") as file:
        file.write(b"x")
    with pytest.raises(BatchError, match=r"line 1 of .* is damaged"):
        await run(server, source, out)


async def test_an_input_that_changes_meanwhile_is_noticed(server: BillServer, source: Path, out: Path) -> None:
    write_rows(source, [row(str(number)) for number in range(50)])
    touched = threading.Event()

    def touch(_: BatchProgress) -> None:
        if not touched.is_set():
            touched.set()
            with source.open("a") as file:
                file.write(json.dumps(row("late")) + "\n")

    summary = await run(server, source, out, concurrency=2, on_progress=touch)
    assert isinstance(summary.stopped, BatchError)
    assert "changed while it was read" in summary.stopped.message


async def test_a_full_disk_stops_it_and_tears_no_line(
    server: BillServer, source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, full = os.write, False

    def limited(descriptor: int, data: Any) -> int:
        nonlocal full
        if full:
            raise OSError(28, "No space left on device")
        if b'"custom_id":"b"' in bytes(data):
            full = True
            return write(descriptor, bytes(data)[:10])
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", limited)
    summary = await run(server, source, out, concurrency=1)
    monkeypatch.undo()
    assert isinstance(summary.stopped, BatchError)
    assert "No space left" in summary.stopped.message
    assert [line["custom_id"] for line in read_lines(out)] == ["a"]
    again = await run(server, source, out)
    assert (again.answered, again.unanswered) == (2, 1)
    assert len(server.requests) == 3


async def test_cancelled_it_keeps_what_was_answered(server: BillServer, source: Path, out: Path) -> None:
    def script(request: Received) -> Answer:
        return Answer(delay=30) if "Italy" in request.question else Answer()

    server.script = script
    task = asyncio.create_task(run(server, source, out))
    await server.until(lambda each: each.in_flight == 1 and len(each.requests) == 3)
    await until(lambda: out.exists() and len(read_lines(out)) == 2, "the two answers in the file")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.wait_quiet()
    server.script = Answer()
    summary = await run(server, source, out)
    assert (summary.answered, summary.unanswered, summary.run_rows) == (2, 1, 0)
    assert len(server.requests) == 3


@pytest.mark.slow
async def test_memory_stays_flat(server: BillServer, source: Path, out: Path) -> None:
    """30 MB of rows, and as much of results, in a few."""
    text = "x" * 12_000

    class Instant:
        def __init__(self, reply: Reply) -> None:
            self.reply = reply

        async def chat(self, messages: Any, *, max_tokens: int | None = None, **options: Any) -> Reply:
            return self.reply

    with source.open("w") as file:
        for number in range(2_400):
            file.write(json.dumps(row(str(number), text)) + "\n")
    async with AsyncClient(**settings(server)) as client:
        instant = Instant((await client.chat("hi")).model_copy(update={"text": text}))
        tracemalloc.start()
        try:
            summary = await client.batch_file(source, out, through=instant, concurrency=32)
            again = await client.batch_file(source, out, through=instant)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (summary.answered, again.answered, again.run_rows) == (2_400, 2_400, 0)
    assert out.stat().st_size > 28_000_000
    assert peak < 8_000_000
