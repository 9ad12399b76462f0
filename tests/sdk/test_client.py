"""The client: what a reply tells, what a setting does, what is refused before anything is sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deepthrift import AsyncClient, HostProfile
from deepthrift.errors import (
    AttemptTimeout,
    AuthenticationFailed,
    BudgetExceeded,
    ConfigurationError,
    ConnectionFailed,
    ContextLengthExceeded,
    DeadlineExceeded,
    DeepthriftError,
    InvalidRequestError,
    LedgerUnavailable,
    ServerError,
    UnsupportedFeature,
)
from deepthrift_pricing import Budget, Ledger, PriceBook
from deepthrift_pricing.tokens import count_messages
from tests.support.bill_server import Answer, BillServer, Drop, Failure
from tests.support.doors import MODEL, PROMPT, Door, ask, every_door, every_stream, prices, settings, through_async
from tests.support.waiting import LIMITS

HANGING = Answer("Paris.", hold=600.0)
STALLING = Answer(" the" * 5, stall_after=3, usage="absent")


@every_door
async def test_a_reply_tells_everything(door: Door) -> None:
    ledger = Ledger.open("memory:")
    options = {"ledger": ledger, "tags": {"team": "search", "app": "a"}}
    async with BillServer(Answer("Paris.", model="deepseek-v3.1-terminus")) as server:
        reply = await ask(
            door, server, "Hi", max_tokens=50, tags={"app": "b"}, purpose="verify", group_id="g-1", client=options
        )
        request = server.requests[0]
    assert (reply.text, reply.finish_reason, reply.host) == ("Paris.", "stop", "vllm")
    assert (reply.model, reply.response_id) == ("deepseek-v3.1-terminus", "chatcmpl-0")
    assert reply.seconds > 0
    [attempt] = ledger.attempts()
    assert reply.attempts == (attempt,)
    assert (attempt.call_id, attempt.group_id, attempt.purpose) == (reply.call_id, "g-1", "verify")
    assert attempt.tags == {"team": "search", "app": "b"}
    assert (attempt.http_status, attempt.finish_reason) == (200, "stop")
    assert request.body["model"] == MODEL
    assert request.headers["authorization"] == "Bearer key"
    assert request.headers["user-agent"].startswith("deepthrift/")
    ledger.close()


@every_door
async def test_options_reach_the_endpoint(door: Door) -> None:
    sent: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["\n"],
        "seed": 7,
        "response_format": {"type": "json_object"},
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "auto",
    }
    async with BillServer(Answer("{}", logprob=-0.5)) as server:
        reply = await ask(door, server, "Say json.", max_tokens=50, top_logprobs=2, **sent)
    body = server.requests[0].body
    assert {name: body[name] for name in sent} == sent
    assert (body["logprobs"], body["top_logprobs"], body["max_tokens"]) == (True, 2, 50)
    assert body["stream"] is ("stream" in door)
    assert reply.logprobs is not None
    assert reply.logprobs[0].logprob == -0.5


async def test_max_tokens_left_out_is_not_sent_but_reserved() -> None:
    ledger = Ledger.open("memory:")
    async with BillServer() as server:
        await ask("async", server, "Hi", client={"ledger": ledger})
        await ask("async", server, "Hi", client={"ledger": ledger, "host": "deepseek", "model": None})
    assert all(request.max_tokens is None for request in server.requests)
    rest, default = (attempt.reserved for attempt in ledger.attempts())
    book, tokens = prices(), count_messages("Hi", mode="standard")
    worst = {"model": "m", "mode": "standard", "prompt_tokens": tokens}
    assert rest == book.worst(host="vllm", max_tokens=HostProfile.named("vllm").context - tokens, **worst)  # type: ignore[arg-type]
    assert default == book.worst(host="deepseek", max_tokens=4096, **worst)  # type: ignore[arg-type]
    ledger.close()


WRONG: list[tuple[Mapping[str, Any], str]] = [
    ({"mode": "deep"}, "not a mode"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"temperature": 3}, "temperature"),
    ({"temperature": float("nan")}, "temperature"),
    ({"top_p": -0.1}, "top_p"),
    ({"top_logprobs": 21}, "top_logprobs"),
    ({"seed": "x"}, "seed"),
    ({"stop": []}, "stop"),
    ({"stop": ["a"] * 17}, "stop"),
    ({"stop": [1]}, "stop"),
    ({"timeout": 0}, "timeout"),
    ({"deadline": -1}, "deadline"),
    ({"tools": [{"type": "function"}]}, r"tools\[0\]"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, r"tools\[0\]"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}] * 129}, "128"),
    ({"tool_choice": "auto"}, "needs tools"),
    ({"response_format": {"type": "xml"}}, "xml"),
    ({"tags": {"team": 7}}, "tags"),
    ({"max_token": 7}, "did you mean 'max_tokens'"),
    ({"frequency": 7}, "extra_body"),
    ({"extra_body": {"x": object()}}, "JSON"),
    ({"extra_body": {"x": float("inf")}}, "JSON"),
    ({"messages": []}, "no messages"),
    ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "ends with an answer"),
]


@every_door
@pytest.mark.parametrize(("call", "told"), WRONG, ids=[str(call)[:40] for call, _ in WRONG])
async def test_what_is_wrong_is_told_before_anything_is_sent(door: Door, call: Mapping[str, Any], told: str) -> None:
    ledger = Ledger.open("memory:")
    async with BillServer() as server:
        with pytest.raises(InvalidRequestError, match=told) as wrong:
            await ask(door, server, **{"messages": "Hi", "client": {"ledger": ledger}, **call})
        assert not server.connections
    assert isinstance(wrong.value, ValueError)
    assert not ledger.attempts()
    ledger.close()


SETTINGS: list[tuple[Mapping[str, Any], str]] = [
    ({"host": "nowhere"}, "not a known host"),
    ({"base_url": None}, "URL"),
    ({"base_url": "gpu-box:8000"}, "URL"),
    ({"base_url": "ftp://gpu-box"}, "URL"),
    ({"base_url": "http://user:pw@gpu-box/v1"}, "api_key"),
    ({"timeout": 0}, "timeout"),
    ({"idle_timeout": -1}, "idle_timeout"),
    ({"deadline": 0}, "deadline"),
    ({"max_retries": -1}, "max_retries"),
    ({"on_mode_mismatch": "shrug"}, "on_mode_mismatch"),
    ({"api_key": "a\nb"}, "api_key"),
    ({"prices": "cheap"}, "price profile"),
    ({"host": "deepseek", "model": "gpt"}, "tells the mode by the model's name"),
]


@pytest.mark.parametrize(("change", "told"), SETTINGS, ids=[str(change)[:40] for change, _ in SETTINGS])
def test_a_wrong_setting_is_told_at_once(change: Mapping[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        AsyncClient(**{**settings("http://gpu-box/v1"), **change})


def test_errors_and_representations_hold_no_key() -> None:
    client = AsyncClient(**settings("http://gpu-box/v1", api_key="sk-secret-0123456789"))
    assert "secret" not in f"{client!r} {client._session.targets.first!r}"
    client.ledger.close()


@every_door
async def test_a_prompt_that_does_not_fit_is_refused_before_it_is_sent(door: Door) -> None:
    small = HostProfile.named("vllm").model_copy(update={"context": 1000})
    async with BillServer() as server:
        with pytest.raises(ContextLengthExceeded, match="2,000 tokens") as large:
            await ask(door, server, PROMPT, client={"host": small})
        assert large.value.request is not None
        assert large.value.request.prompt_tokens == 2000
        with pytest.raises(ContextLengthExceeded, match="max_tokens=990"):
            await ask(door, server, "The capital of France, and of Spain?", max_tokens=990, client={"host": small})
        assert not server.connections


async def test_an_engine_counts_for_itself() -> None:
    """An unknown tokenizer is asked; where it does not answer, prompts are bounded by their bytes."""
    engine = HostProfile.named("local").model_copy(update={"context": 3000})
    async with BillServer(Answer("Yes.")) as server, AsyncClient(**settings(server, host=engine)) as client:
        assert (await client.chat("Hi", max_tokens=50)).text == "Yes."
        assert (await client.chat(PROMPT, max_tokens=50)).attempts[0].reserved > (
            prices().worst(host="local", model="m", mode="standard", prompt_tokens=6000, max_tokens=50)
        )
    routes = {"/chat/completions/input_tokens": lambda _: {"input_tokens": 2000}}
    async with BillServer(Answer("Yes.", prompt_tokens=2000), routes=routes) as server:
        async with AsyncClient(**settings(server, host=engine)) as client:
            await client.chat("Hi", max_tokens=50)
            reply = await client.chat(PROMPT, max_tokens=50)
            assert reply.attempts[0].reserved == prices().worst(
                host="local", model="m", mode="standard", prompt_tokens=2000, max_tokens=50
            )
            assert await client.count(PROMPT) == 2000
            with pytest.raises(ContextLengthExceeded, match="2,000"):
                await client.chat(PROMPT, max_tokens=1500)
        assert len(server.requests) == 2


@every_door
async def test_the_deadline_ends_the_whole_call(door: Door) -> None:
    for limit in LIMITS:
        ledger = Ledger.open("memory:")
        async with BillServer(HANGING if "stream" not in door else STALLING) as server:
            with pytest.raises(DeadlineExceeded, match="its deadline") as late:
                await ask(door, server, max_tokens=50, deadline=limit, client={"ledger": ledger})
            await server.wait_quiet()
        if server.requests and ("stream" not in door or server.requests[0].generated == 3):
            break
        ledger.close()  # the machine was too busy to get that far within the limit
    assert len(server.requests) == 1
    assert server.requests[0].disconnected
    [attempt] = ledger.attempts()
    assert late.value.spend == attempt.cost.total
    assert attempt.error == "DeadlineExceeded"
    if "stream" in door:
        assert late.value.partial is not None
        assert late.value.partial.text.split() == ["the"] * 3
    ledger.close()


@every_stream
async def test_silence_in_a_stream_ends_it_with_what_arrived(door: Door) -> None:
    for limit in LIMITS:
        async with BillServer(STALLING) as server:
            with pytest.raises(AttemptTimeout, match=f"idle_timeout={limit:g}") as silent:
                await ask(door, server, max_tokens=50, client={"idle_timeout": limit})
            await server.wait_quiet()
        if server.requests and server.requests[0].generated == 3:
            break  # else the machine was too busy, and silent for so long before it
    assert silent.value.partial is not None
    assert silent.value.partial.text.split() == ["the"] * 3
    assert silent.value.partial.cost.certainty == "estimated"


async def test_silence_before_a_plain_answer_is_no_silence() -> None:
    async with BillServer(Answer("Paris.", hold=0.6)) as server:
        assert (await ask("async", server, client={"idle_timeout": 0.2})).text == "Paris."


@every_door
async def test_a_lost_answer_is_asked_for_again_only_if_wanted(door: Door) -> None:
    for wanted, sent in ((False, 1), (True, 2)):
        async with BillServer([Drop(billed=Answer()), Answer("Paris.")]) as server:
            client = {"retry_unanswered": wanted}
            if wanted:
                reply = await ask(door, server, max_tokens=50, client=client)
                assert [attempt.status for attempt in reply.attempts] == ["unknown", "settled"]
                assert reply.cost.certainty == "unknown"
            else:
                with pytest.raises(ConnectionFailed, match="may be billed"):
                    await ask(door, server, max_tokens=50, client=client)
            assert len(server.requests) == sent


@every_door
async def test_a_gateways_time_out_may_be_billed(door: Door) -> None:
    ledger = Ledger.open("memory:")
    async with BillServer(Failure(504, "upstream timed out", retry_after="0")) as server:
        with pytest.raises(ServerError) as lost:
            await ask(door, server, max_tokens=50, client={"ledger": ledger, "max_retries": 1})
        assert len(server.requests) == 2
    assert lost.value.spend
    assert [attempt.status for attempt in ledger.attempts()] == ["unknown", "unknown"]
    ledger.close()


async def test_waiting_for_budget_room_ends_where_the_caller_said() -> None:
    ledger = Ledger.open("memory:", budgets=[Budget("0.002", per="total")])
    options = settings("", ledger=ledger, budget_wait=0.2)
    async with BillServer(HANGING) as server, AsyncClient(**{**options, "base_url": server.url}) as client:
        first = asyncio.create_task(client.chat(PROMPT, max_tokens=500))
        await server.until(lambda s: s.in_flight == 1)
        with pytest.raises(BudgetExceeded):
            await client.chat(PROMPT, max_tokens=500)
        with pytest.raises(BudgetExceeded):
            await client.chat(PROMPT, max_tokens=500, deadline=0.1)
        assert len(server.requests) == 1
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    ledger.close()


@every_door
async def test_a_ledger_that_cannot_be_written_stops_the_call(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger.open("memory:")

    def full(*_: object, **__: object) -> None:
        raise LedgerUnavailable("the disk is full")

    monkeypatch.setattr(ledger, "_reserve", full)
    async with BillServer() as server:
        with pytest.raises(LedgerUnavailable):
            await ask(door, server, max_tokens=50, client={"ledger": ledger})
        assert not server.connections
    ledger.close()


@every_door
async def test_an_answer_that_cannot_be_booked_is_not_lost(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger.open("memory:")

    def full(*_: object, **__: object) -> None:
        raise LedgerUnavailable("the disk is full")

    monkeypatch.setattr(ledger.queued, "settle", full)
    async with BillServer(Answer("Paris.")) as server:
        reply = await ask(door, server, max_tokens=50, client={"ledger": ledger})
    assert reply.text == "Paris."
    assert reply.cost.amount == server.bill.total
    assert any("disk is full" in warning for warning in reply.warnings)
    assert ledger.attempts()[0].status == "reserved", "the worst case stays reserved until it is swept"
    ledger.close()


async def test_one_client_belongs_to_one_loop() -> None:
    async with BillServer(Answer("Paris.")) as server, AsyncClient(**settings(server)) as client:
        await client.chat("Hi", max_tokens=5)

        def elsewhere() -> None:
            with pytest.raises(ConfigurationError, match="event loop"):
                asyncio.run(client.chat("Hi", max_tokens=5))

        await asyncio.to_thread(elsewhere)
        assert (await client.chat("Hi", max_tokens=5)).text == "Paris."


def test_an_async_client_outside_a_loop_is_told() -> None:
    client = AsyncClient(**settings("http://gpu-box/v1"))
    with pytest.raises(ConfigurationError, match="use Client"):
        client.stream("Hi")
    client.ledger.close()


async def test_a_closed_client_says_so() -> None:
    client = AsyncClient(**settings("http://gpu-box/v1"))
    await client.aclose()
    await client.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        await client.chat("Hi")


async def test_estimates_and_counts_send_nothing() -> None:
    async with BillServer() as server, AsyncClient(**settings(server)) as client:
        estimate = client.estimate(PROMPT, mode="thinking", max_tokens=500)
        assert (estimate.prompt_tokens, estimate.prompt_certainty, estimate.max_tokens) == (2000, "exact", 500)
        assert str(estimate.worst.amount) == "0.00196"
        assert estimate.least < estimate.worst
        assert await client.count(PROMPT) == 2000
        with pytest.raises(InvalidRequestError):
            client.estimate("", max_tokens=5)
        with pytest.raises(UnsupportedFeature):
            client.estimate("Hi", mode="thinking", tools=[{"type": "function", "function": {"name": "f"}}])
        assert not server.connections


async def test_a_reservation_is_what_was_estimated() -> None:
    async with BillServer(Answer("Paris.")) as server, AsyncClient(**settings(server)) as client:
        for options in ({"max_tokens": 70}, {}):
            estimate = client.estimate("Capital of France?", mode="thinking", **options)  # type: ignore[arg-type]
            reply = await client.chat("Capital of France?", mode="thinking", **options)  # type: ignore[arg-type]
            assert reply.attempts[0].reserved == estimate.worst


async def test_models_are_listed_and_refusals_typed() -> None:
    async with BillServer(models=("a", "b"), key="key") as server:
        async with AsyncClient(**settings(server)) as client:
            assert [model.id for model in await client.models()] == ["a", "b"]
        async with AsyncClient(**settings(server, api_key="no")) as client:
            with pytest.raises(AuthenticationFailed):
                await client.models()


def test_keys_from_the_environment_go_to_their_own_host_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-deepseek")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")

    def key(*args: Any, **options: Any) -> str | None:
        client = AsyncClient(*args, **options)
        client.ledger.close()
        assert client._session.target is not None
        return client._session.targets.first.key

    assert key(host="deepseek") == "sk-deepseek"
    assert key("https://api.deepseek.com/v1") == "sk-deepseek"
    assert key("http://gpu-box/v1", host="deepseek") is None
    assert key("http://gpu-box/v1") is None
    assert key("http://gpu-box/v1", api_key="mine") == "mine"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://gateway/v1")
    assert key() == "sk-openai"


def test_prices_are_a_book_a_name_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('[[price]]\nid = "mine"\ncache_miss = "1"\ncompletion = "2"\nchecked = 2026-11-01\nsource = "x"\n')
    for given in ("brief", PriceBook.named("brief"), path, str(path)):
        client = AsyncClient("http://gpu-box/v1", prices=given)
        assert len(client.prices) >= 1
        client.ledger.close()


async def test_a_book_in_yuan_books_in_yuan() -> None:
    book = PriceBook.flat(cache_miss="4", completion="12", currency="CNY")
    async with BillServer(Answer("Paris.")) as server:
        reply = await ask("async", server, max_tokens=50, client={"prices": book})
    assert reply.cost.currency == "CNY"


async def test_a_cancelled_call_leaves_the_others_alone() -> None:
    admission = threading.Event()
    async with BillServer(Answer("Paris.", admission=admission)) as server, AsyncClient(**settings(server)) as client:
        tasks = [asyncio.create_task(through_async(client, "Hi", streamed=n % 2 == 0, max_tokens=5)) for n in range(10)]
        await server.until(lambda s: s.in_flight == 10)
        tasks[3].cancel()
        admission.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(result, BaseException) for result in results) == 1
        assert not any(isinstance(result, DeepthriftError) for result in results)
