"""Batches that a host runs itself: reserved when submitted, booked once when fetched, whatever happens in between."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deepthrift import AsyncClient, Client, HostProfile
from deepthrift.batch import NativeBatch
from deepthrift.batch._native.wire import NativeBatch as Told
from deepthrift.errors import (
    BatchError,
    BudgetExceeded,
    ConnectionFailed,
    InvalidRequestError,
    PermissionRefused,
    PriceNotFound,
    UnsupportedFeature,
)
from deepthrift.hosts import BatchRules
from deepthrift_pricing import Budget, Ledger, Price, PriceBook
from tests.sdk.batch.files import last_lines, row, write_rows
from tests.sdk.batch.native_server import BatchService, answered
from tests.support.doors import MODEL, booked

ROWS = [row("a"), row("b", mode="thinking"), row("c")]
RATES = {"cache_hit": "0.035", "cache_miss": "0.28", "completion": "0.84"}
BATCH = Price.model_validate(
    {**RATES, "id": "half", "host": "*", "models": ("*",), "tier": "batch", "source": "test", "checked": "2026-11-01"}
)


def client(service: BatchService, ledger: Ledger, **changes: Any) -> AsyncClient:
    prices = PriceBook.flat(cache_miss="0.56", completion="1.68", cache_hit="0.07") + PriceBook([BATCH])
    given: dict[str, Any] = {"host": "openai", "prices": prices, "ledger": ledger, **changes}
    return AsyncClient(service.url, model=MODEL, **given)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "in.jsonl", ROWS)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


async def test_it_is_reserved_then_booked_once(source: Path, out: Path, tmp_path: Path) -> None:
    told: list[NativeBatch] = []
    with BatchService(looks=2) as service, Ledger.open(tmp_path / "spend.db") as ledger:
        async with client(service, ledger) as first:
            batch = await first.batch_submit(source, out)
            assert batch.state == "validating"
            attempts = ledger.attempts()
            assert [attempt.status for attempt in attempts] == ["reserved"] * 3
            assert (
                attempts[0].reserved + attempts[0].reserved == first.estimate("Capital of France?", max_tokens=64).worst
            )
            assert attempts[0].tags["tier"] == "batch"
            assert (await first.batch_status(out)).state == "in_progress"
            with pytest.raises(BatchError, match="is in progress; fetch it when it has ended"):
                await first.batch_fetch(out)
        async with client(service, ledger) as second:  # as another process would
            summary = await second.batch_fetch(out, wait=True, poll=0.01, on_status=told.append)
            assert (summary.rows, summary.answered, summary.unsent) == (3, 3, 0)
            assert summary.spend is not None
            assert summary.spend.amount == service.bill == booked(ledger)
            written = out.read_bytes()
            again = await second.batch_fetch(out)
            assert again.spend == summary.spend
            assert booked(ledger) == service.bill
            assert out.read_bytes() == written
        assert {(each.status, each.cost.certainty) for each in ledger.attempts()} == {("settled", "exact")}
        assert {each.mode for each in ledger.attempts()} == {"standard", "thinking"}
    assert told[-1].ended
    assert told[-1].counts.completed == 3
    lines = last_lines(out)
    assert lines["b"]["response"]["body"]["choices"][0]["message"]["reasoning_content"] == "A capital."
    assert lines["b"]["deepthrift"]["mode"] == "thinking"
    assert sum(Decimal(line["deepthrift"]["cost"]) for line in lines.values()) == summary.spend.amount
    assert service.purposes == ["batch"]
    assert [each["body"]["chat_template_kwargs"]["thinking"] for each in service.rows] == [False, True, False]
    assert all("stream" not in each["body"] for each in service.rows)
    assert {path.name: path.stat().st_mode & 0o777 for path in out.parent.glob("out.*")} == {
        "out.jsonl": 0o600,
        "out.jsonl.job": 0o600,
    }
    assert not list(out.parent.glob("*.part")) + list(out.parent.glob("*.upload"))


def test_the_synchronous_client_does_the_same(source: Path, out: Path) -> None:
    with BatchService(wrapped=True) as service, Ledger.open() as ledger:
        prices = PriceBook([BATCH])
        with Client(service.url, host="openai", model=MODEL, prices=prices, ledger=ledger) as sync:
            assert sync.batch_submit(source, out).id == "batch-0"
            assert sync.batch_status(out).state == "completed"
            assert sync.batch_fetch(out).answered == 3
        assert booked(ledger) == service.bill


async def test_rows_that_failed_cost_nothing(source: Path, out: Path) -> None:
    def result(asked: dict[str, Any]) -> dict[str, Any] | None:
        line = answered(asked)
        if asked["custom_id"] == "a":
            return {**line, "response": {"status_code": 400, "request_id": "", "body": {"error": {"message": "bad"}}}}
        if asked["custom_id"] == "b":
            return {**line, "response": None, "error": {"code": "batch_expired", "message": "too late"}}
        return line

    with BatchService(result) as service, Ledger.open() as ledger:
        service.ends = "expired"
        async with client(service, ledger) as opened:
            await opened.batch_submit(source, out)
            summary = await opened.batch_fetch(out)
        assert (summary.answered, summary.failed) == (1, 2)
        assert booked(ledger) == service.bill
        assert sorted(each.status for each in ledger.attempts()) == ["released", "released", "settled"]
    assert last_lines(out)["b"]["error"]["code"] == "batch_expired"
    assert last_lines(out)["a"]["response"]["status_code"] == 400


async def test_what_the_host_does_not_tell_is_counted_or_stays_reserved(source: Path, out: Path) -> None:
    """A row that is missing may be billed; an answer without a usage, or with one that cannot be, is counted."""

    def result(asked: dict[str, Any]) -> dict[str, Any] | None:
        line = answered(asked)
        if asked["custom_id"] == "a":
            return None
        if asked["custom_id"] == "b":
            del line["response"]["body"]["usage"]
        else:
            line["response"]["body"]["usage"]["prompt_tokens"] = 10**25
            del line["response"]["body"]["usage"]["total_tokens"]
        return line

    with BatchService(result) as service, Ledger.open() as ledger:
        async with client(service, ledger) as opened:
            await opened.batch_submit(source, out)
            summary = await opened.batch_fetch(out)
        assert (summary.answered, summary.unanswered) == (2, 1)
        assert [each.status for each in ledger.attempts()] == ["unknown", "settled", "settled"]
        lost, *counted = ledger.attempts()
        assert lost.cost.total == lost.reserved
        assert [each.cost.certainty for each in counted] == ["estimated"] * 2
        assert [each.usage.prompt_tokens for each in counted if each.usage is not None] == [8, 8]
        assert all(0 < each.cost.amount < each.reserved.amount for each in counted)
    assert all("estimated" in last_lines(out)[name]["deepthrift"]["warnings"][0] for name in ("b", "c"))
    assert last_lines(out)["a"]["error"]["code"] == "batch_completed"


async def test_a_claim_that_cannot_be_true_is_counted_here(source: Path, out: Path) -> None:
    def result(asked: dict[str, Any]) -> dict[str, Any] | None:
        line = answered(asked)
        line["response"]["body"]["choices"][0]["message"]["content"] = "word " * 400
        low = {"prompt_tokens": 0, "completion_tokens": 0} if asked["custom_id"] == "a" else {"completion_tokens": 1}
        line["response"]["body"]["usage"] = {"prompt_tokens": 10, **low}
        return line

    with BatchService(result) as service, Ledger.open() as ledger:
        async with client(service, ledger) as opened:
            await opened.batch_submit(source, out)
            assert (await opened.batch_fetch(out)).answered == 3
        first, *others = [attempt.usage for attempt in ledger.attempts()]
        assert {each.cost.certainty for each in ledger.attempts()} == {"estimated"}
    assert first is not None
    assert (first.prompt_tokens, first.completion_tokens) == (8, 401)
    assert all(each is not None and each.completion_tokens >= 401 for each in others)
    assert all("cannot be true" in line["deepthrift"]["warnings"][-1] for line in last_lines(out).values())


async def test_a_job_of_an_earlier_version_has_no_count_of_its_prompts(source: Path, out: Path) -> None:
    def result(asked: dict[str, Any]) -> dict[str, Any] | None:
        line = answered(asked)
        if asked["custom_id"] == "a":
            line["response"]["body"]["usage"]["prompt_tokens"] = 0
        return line

    with BatchService(result) as service, Ledger.open() as ledger:
        async with client(service, ledger) as opened:
            await opened.batch_submit(source, out)
            job = out.with_name("out.jsonl.job")
            lines = [json.loads(line) for line in job.read_text().splitlines()]
            kept = [{key: value for key, value in line.items() if "prompt" not in key} for line in lines]
            job.write_text("".join(json.dumps(line) + "\n" for line in kept))
            assert (await opened.batch_fetch(out)).answered == 3
        assert [each.status for each in ledger.attempts()] == ["unknown", "settled", "settled"]


@pytest.mark.parametrize(("status", "booked_as"), [(500, "unknown"), (502, "unknown"), (429, "released")])
async def test_a_row_that_may_have_been_billed_is_held(source: Path, out: Path, status: int, booked_as: str) -> None:
    def result(asked: dict[str, Any]) -> dict[str, Any] | None:
        line = answered(asked)
        failure = {"error": {"message": "no", "code": status}}
        if asked["custom_id"] == "a":
            return {**line, "response": {"status_code": status, "request_id": "", "body": failure}}
        return {**line, "response": None, **failure} if asked["custom_id"] == "b" else line

    with BatchService(result) as service, Ledger.open() as ledger:
        async with client(service, ledger) as opened:
            await opened.batch_submit(source, out)
            await opened.batch_fetch(out)
        assert [each.status for each in ledger.attempts()] == [booked_as, booked_as, "settled"]


async def test_a_refused_file_releases_everything(source: Path, out: Path) -> None:
    with BatchService(lambda _: None) as service, Ledger.open() as ledger:
        service.ends = "failed"
        async with client(service, ledger) as opened:
            await opened.batch_submit(source, out)
            service.batches["batch-0"]["errors"] = {"data": [{"line": 2, "message": "no such model"}]}
            assert (await opened.batch_status(out)).problems == ("line 2: no such model",)
            assert (await opened.batch_fetch(out)).failed == 3
        assert booked(ledger) == 0
    assert "no such model" in last_lines(out)["a"]["error"]["message"]


async def test_cancelled_keeps_what_was_answered(source: Path, out: Path) -> None:
    def result(asked: dict[str, Any]) -> dict[str, Any] | None:
        return answered(asked) if asked["custom_id"] == "a" else None

    with BatchService(result, looks=9) as service, Ledger.open() as ledger:
        async with client(service, ledger) as opened:
            await opened.batch_submit(source, out)
            assert (await opened.batch_cancel(out)).state == "cancelling"
            summary = await opened.batch_fetch(out, wait=True, poll=0.01)
        assert (summary.answered, summary.failed) == (1, 2)
        assert booked(ledger) == service.bill > 0


async def test_a_budget_refuses_the_whole_and_keeps_nothing_reserved(source: Path, out: Path) -> None:
    with BatchService() as service, Ledger.open(budgets=[Budget("0.0001", per="total")]) as ledger:
        async with client(service, ledger) as opened:
            with pytest.raises(BudgetExceeded):
                await opened.batch_submit(source, out)
            [status] = ledger.budget_status()
            assert (status.spent.pico, status.reserved.pico) == (0, 0)
            assert not service.requests
            write_rows(source, ROWS[:1])  # less of it fits
            await opened.batch_submit(source, out)
        [status] = ledger.budget_status()
        assert status.reserved.pico > 0


@pytest.mark.parametrize("asked", ["POST /files", "POST /batches"])
async def test_a_refusal_keeps_nothing_reserved(source: Path, out: Path, asked: str) -> None:
    with BatchService() as service, Ledger.open() as ledger:
        service.refuse[asked] = 403
        async with client(service, ledger) as opened:
            with pytest.raises(PermissionRefused):
                await opened.batch_submit(source, out)
            assert {each.status for each in ledger.attempts()} == {"released"}
            service.refuse.clear()
            await opened.batch_submit(source, out)
            await opened.batch_fetch(out)
        assert booked(ledger) == service.bill
        assert len(service.batches) == 1


async def test_an_answer_that_was_lost_does_not_begin_it_twice(source: Path, out: Path) -> None:
    with BatchService() as service, Ledger.open() as ledger:
        service.drop = {"POST /batches"}
        async with client(service, ledger) as opened:
            with pytest.raises(ConnectionFailed, match="It may have begun all the same"):
                await opened.batch_submit(source, out)
            assert {each.status for each in ledger.attempts()} == {"reserved"}
            assert (await opened.batch_submit(source, out)).id == "batch-0"
            with pytest.raises(BatchError, match="was submitted already, as 'batch-0'"):
                await opened.batch_submit(source, out)
            await opened.batch_fetch(out)
        assert len(service.batches) == 1
        assert booked(ledger) == service.bill


@pytest.mark.parametrize("last", ["row", "reserved", "uploaded"])
async def test_a_process_that_died_on_the_way_begins_anew(source: Path, out: Path, last: str) -> None:
    """What it had reserved is given back, and a torn last line of the job file is cut off."""
    with BatchService() as service, Ledger.open() as ledger:
        async with client(service, ledger) as opened:
            await opened.batch_submit(source, out)
            job = out.with_name("out.jsonl.job")
            lines = job.read_bytes().splitlines(keepends=True)
            told = [json.loads(line).get("event", "row") for line in lines]
            assert told == ["row"] * 4 + ["reserved", "uploaded", "creating", "created"]
            kept = len(told) - told[::-1].index(last)
            job.write_bytes(b"".join(lines[:kept]) + lines[kept][:5])
            service.batches.clear()
            service.rows.clear()
            await opened.batch_submit(source, out)
            assert [each.status for each in ledger.attempts()] == ["released"] * 3 + ["reserved"] * 3
            await opened.batch_fetch(out)
        assert booked(ledger) == service.bill


async def test_a_process_that_died_after_making_it_finds_it(source: Path, out: Path) -> None:
    with BatchService() as service, Ledger.open() as ledger:
        async with client(service, ledger) as opened:
            await opened.batch_submit(source, out)
            job = out.with_name("out.jsonl.job")
            lines = job.read_bytes().splitlines(keepends=True)
            job.write_bytes(b"".join(lines[:-1]))
            with pytest.raises(BatchError, match="no batch that the host has begun; submit it again"):
                await opened.batch_fetch(out)
            assert (await opened.batch_submit(source, out)).id == "batch-0"
            await opened.batch_fetch(out)
        assert booked(ledger) == service.bill
        assert len(service.batches) == 1


async def test_another_ledger_books_nothing(source: Path, out: Path) -> None:
    with BatchService() as service, Ledger.open() as ledger, Ledger.open() as other:
        async with client(service, ledger) as opened:
            await opened.batch_submit(source, out)
        async with client(service, other) as opened:
            with pytest.raises(BatchError, match="does not hold the reservations"):
                await opened.batch_fetch(out)
    assert not out.exists()


async def test_what_cannot_be_submitted_is_refused_before(source: Path, out: Path, tmp_path: Path) -> None:
    with BatchService() as service, Ledger.open() as ledger:
        async with client(service, ledger, host="vllm") as opened:
            with pytest.raises(UnsupportedFeature, match="has no batch service"):
                await opened.batch_submit(source, out)
        async with client(service, ledger, prices=PriceBook.flat(cache_miss="1", completion="1")) as opened:
            with pytest.raises(PriceNotFound, match="batch"):
                await opened.batch_submit(source, out)
        small = HostProfile.named("openai").model_copy(update={"batch": BatchRules(max_rows=2)})
        async with client(service, ledger, host=small) as opened:
            with pytest.raises(BatchError, match="3 rows are too many"):
                await opened.batch_submit(source, out)
        async with client(service, ledger) as opened:
            bad = write_rows(tmp_path / "bad.jsonl", [row("a"), row("a")])
            with pytest.raises(InvalidRequestError, match="line 2"):
                await opened.batch_submit(bad, out)
            with pytest.raises(BatchError, match="nothing was submitted"):
                await opened.batch_status(tmp_path / "none.jsonl")
            out.write_text("mine\n")
            with pytest.raises(BatchError, match="is there already"):
                await opened.batch_submit(source, out)
        assert not service.requests
        assert not any(each.status == "reserved" for each in ledger.attempts())


@pytest.mark.parametrize(
    ("value", "state"),
    [
        ({"id": "b", "status": "COMPLETED", "request_counts": None, "errors": []}, "completed"),
        ({"job": {"id": "b", "status": "IN_PROGRESS"}}, "in_progress"),
    ],
)
def test_other_hosts_tell_it_otherwise(value: object, state: str) -> None:
    batch = Told.model_validate(value)
    assert (batch.id, batch.state, batch.counts.total) == ("b", state, 0)


def test_the_hosts_that_document_it() -> None:
    documented = [name for name in HostProfile.names() if HostProfile.named(name).batch is not None]
    assert documented == ["deepinfra", "openai"]


async def test_a_batch_of_the_host_is_a_tier_of_its_own(out: Path, tmp_path: Path) -> None:
    """Rows are kept at the tier `batch`, and one that asks for another is refused before anything is sent."""
    path = write_rows(tmp_path / "tier.jsonl", [row("a", "Hi", body={"service_tier": "flex"})])
    with BatchService() as service, Ledger.open() as ledger:
        async with client(service, ledger) as opened:
            with pytest.raises(UnsupportedFeature, match="is the service tier 'batch' itself"):
                await opened.batch_submit(path, out)
            assert not service.rows
            await opened.batch_submit(write_rows(tmp_path / "plain.jsonl", [row("a", "Hi")]), out)
            await opened.batch_fetch(out, wait=True, poll=0.01)
        [attempt] = [each for each in ledger.attempts() if each.status == "settled"]
        assert attempt.service_tier == "batch"
