"""Code written for openai's client, with the router behind it: what it sends, gets back and has to catch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from deepthrift import AsyncClient
from deepthrift.errors import BudgetExceeded, ClientClosed, ConfigurationError, PriceNotFound
from deepthrift_pricing import Budget, Ledger, PriceBook
from deepthrift_router import ModeRouter
from deepthrift_router.compat import AsyncOpenAI, OpenAI, routing_of
from tests.router.support import by_mode
from tests.support.bill_server import Answer, BillServer, Drop, Failure, Received
from tests.support.doors import MODEL, prices

ASK: Any = [{"role": "user", "content": "What is the capital of Australia?"}]
CANBERRA = Answer("Canberra.", reasoning="Not Sydney, though it is larger.")
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "lookup",
        "strict": True,  # openai's older clients insist on it where they assemble a stream
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class City(BaseModel):
    name: str
    people: int


def facade(server: BillServer, **changes: Any) -> AsyncOpenAI:
    return AsyncOpenAI(**{"base_url": server.url, "api_key": "key", "host": "vllm", "prices": prices(), **changes})


@pytest.fixture
async def server() -> AsyncIterator[BillServer]:
    async with BillServer(CANBERRA) as running:
        yield running


async def test_an_answer_is_openais_own_type_and_tells_how_it_was_routed(server: BillServer) -> None:
    async with facade(server) as client:
        completion = await client.chat.completions.create(model="auto", messages=ASK, max_tokens=100)
        await server.wait_quiet()
        assert isinstance(completion, openai.types.chat.ChatCompletion)
        assert completion.choices[0].message.content == "Canberra."
        assert completion.choices[0].finish_reason == "stop"
        routing = routing_of(completion)
        assert routing is not None
        assert routing.path[0] == "standard"
        assert routing.cost.amount == server.bill.total
        assert routing.cost.total == client.ledger.spend(by=())[0].total
        assert completion.id == f"chatcmpl-{routing.group_id}"
        assert completion.usage is not None
        assert completion.usage.total_tokens == sum(a.usage.total_tokens for a in client.ledger.attempts() if a.usage)


async def test_a_stream_brings_reasoning_text_and_the_end(server: BillServer) -> None:
    async with facade(server) as client:
        stream = await client.chat.completions.create(
            model="deepseek-reasoner", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    said = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert said[0].role == "assistant"
    assert "".join((delta.model_extra or {}).get("reasoning_content") or "" for delta in said) == CANBERRA.reasoning
    assert "".join(delta.content or "" for delta in said) == "Canberra."
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens_details is not None
    assert chunks[-1].usage.completion_tokens_details.reasoning_tokens == 6
    [told] = [found for chunk in chunks if (found := routing_of(chunk))]
    assert told.mode == "thinking"
    assert len({chunk.id for chunk in chunks}) == 1


async def test_a_stream_that_is_left_stops_upstream_and_is_booked() -> None:
    slow = CANBERRA.but(text="Canberra. " * 200, stall_after=20)
    async with BillServer(slow) as server, facade(server) as client:
        stream = await client.chat.completions.create(model="deepseek-reasoner", messages=ASK, stream=True)
        async with stream:
            async for _ in stream:
                break
        await server.wait_quiet()
        assert server.requests[0].disconnected
        [attempt] = client.ledger.attempts()
        assert attempt.status == "settled"
        assert attempt.cost.total


async def test_the_synchronous_client_does_the_same(server: BillServer) -> None:
    def work() -> tuple[str | None, str]:
        with OpenAI(base_url=server.url, api_key="key", host="vllm", prices=prices()) as client:
            whole = client.chat.completions.create(model="deepseek-chat", messages=ASK)
            with client.chat.completions.create(model="deepseek-chat", messages=ASK, stream=True) as stream:
                pieces = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            with client.chat.completions.create(model="deepseek-chat", messages=ASK, stream=True) as stream:
                next(stream)
            with pytest.raises(openai.BadRequestError):
                client.chat.completions.create(model="deepseek-chat", messages=ASK, temperature=7)
            assert len(client.ledger.attempts()) == 3
            return whole.choices[0].message.content, pieces

    assert await asyncio.to_thread(work) == ("Canberra.", "Canberra.")


@pytest.mark.parametrize(
    ("asked", "mode"),
    [
        ({"model": "deepseek-chat"}, "standard"),
        ({"model": "deepseek-reasoner"}, "thinking"),
        ({"model": "deepseek-reasoner", "reasoning_effort": "none"}, "standard"),
        ({"reasoning_effort": "high"}, "thinking"),
        ({"extra_body": {"thinking": {"type": "enabled"}}}, "thinking"),
        ({"extra_body": {"thinking": {"type": "disabled"}}}, "standard"),
        ({"extra_body": {"chat_template_kwargs": {"thinking": True}}}, "thinking"),
        ({"extra_body": {"deepthrift": {"policy": "thinking"}}}, "thinking"),
    ],
)
async def test_a_mode_can_be_insisted_on_in_every_dialect(asked: Any, mode: str, server: BillServer) -> None:
    async with facade(server) as client:
        completion = await client.chat.completions.create(**{"model": "auto", "messages": ASK, **asked})
    assert [request.mode_ran for request in server.requests] == [mode]
    routing = routing_of(completion)
    assert routing is not None
    assert routing.mode == mode
    assert not {"deepthrift", "reasoning_effort"} & set(server.requests[0].body)


@pytest.mark.parametrize(
    ("asked", "effort"),
    [
        ({"reasoning_effort": "low"}, "low"),
        ({"reasoning_effort": "medium"}, "high"),
        ({"extra_body": {"output_config": {"effort": "max"}}}, "max"),
        ({"extra_body": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}}, "low"),
        ({"extra_body": {"chat_template_kwargs": {"reasoning_effort": "max"}}}, "max"),
        ({"extra_body": {"deepthrift": {"policy": "thinking", "effort": "low"}}}, "low"),
        ({"extra_body": {"thinking": {"type": "enabled", "budget_tokens": 2048}}}, "high"),
        ({"reasoning_effort": "none"}, None),
    ],
)
async def test_every_form_of_effort_keeps_its_meaning(asked: Any, effort: str | None, server: BillServer) -> None:
    """The host has levels and no limit in tokens, so 2,048 tokens are left out."""
    async with facade(server, host="deepseek-v4") as client:
        await client.chat.completions.create(**{"model": "auto", "messages": ASK, **asked})
    assert [request.body.get("reasoning_effort") for request in server.requests] == [effort]
    assert not {"output_config", "chat_template_kwargs", "deepthrift"} & set(server.requests[0].body)


async def test_standard_is_checked_and_escalated() -> None:
    script = by_mode([Answer("Sydney."), Answer("Melbourne.")], CANBERRA)
    async with BillServer(script) as server, facade(server) as client:
        completion = await client.chat.completions.create(
            model="deepseek-v3.1", messages=ASK, extra_body={"deepthrift": {"policy": "cascade"}}
        )
        routing = routing_of(completion)
    assert routing is not None
    assert completion.choices[0].message.content == "Canberra."
    assert routing.path[-1] == "escalate"
    assert routing.decision.policy == "cascade"


@pytest.mark.parametrize("streamed", [False, True])
async def test_tools_go_round(streamed: bool) -> None:
    def answer(request: Received) -> Answer:
        if request.messages[-1]["role"] == "tool":
            return Answer(f"It is {request.messages[-1]['content']}.")
        return Answer("", tool_calls=[("lookup", '{"city": "Canberra"}')])

    messages = [*ASK]
    async with BillServer(answer) as server, facade(server) as client:
        if streamed:
            async with client.chat.completions.stream(model="auto", messages=messages, tools=[TOOL]) as stream:
                first = await stream.get_final_completion()
        else:
            first = await client.chat.completions.create(model="auto", messages=messages, tools=[TOOL])
        message = first.choices[0].message
        assert first.choices[0].finish_reason == "tool_calls"
        assert message.tool_calls is not None
        [call] = message.tool_calls
        assert call.type == "function"
        assert (call.function.name, call.function.arguments) == ("lookup", '{"city": "Canberra"}')
        messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
        last = await client.chat.completions.create(model="auto", messages=messages, tools=[TOOL])
    assert last.choices[0].message.content == "It is sunny."


async def test_parse_gives_a_pydantic_object() -> None:
    async with BillServer(Answer('{"name": "Canberra", "people": 472000}')) as server, facade(server) as client:
        completion = await client.chat.completions.parse(model="auto", messages=ASK, response_format=City)
        sent = server.requests[0].body["response_format"]
    assert completion.choices[0].message.parsed == City(name="Canberra", people=472000)
    assert isinstance(sent, dict)
    assert sent["type"] == "json_schema"


async def test_several_answers_are_each_routed_and_all_counted(server: BillServer) -> None:
    async with facade(server) as client:
        completion = await client.chat.completions.create(model="deepseek-chat", messages=ASK, n=3, logprobs=False)
        await server.wait_quiet()
        assert [choice.index for choice in completion.choices] == [0, 1, 2]
        assert len((completion.model_extra or {})["deepthrift"]) == 3
        assert completion.usage is not None
        assert completion.usage.completion_tokens == sum(line.completion_tokens for line in server.bill.lines)
        with pytest.raises(openai.BadRequestError, match="one answer"):
            await client.chat.completions.create(model="auto", messages=ASK, n=2, stream=True)


async def test_models_are_the_endpoints_and_those_that_are_routed(server: BillServer) -> None:
    async with facade(server) as client:
        names = [model.id for model in (await client.models.list()).data]
        assert names == ["auto", "deepseek-v3.1", "deepseek-chat", "deepseek-reasoner"]
        assert (await client.models.retrieve("auto")).id == "auto"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("gpt-4")


async def test_another_model_of_the_endpoint_gets_a_router_and_shares_the_ledger(server: BillServer) -> None:
    async with facade(server) as client:
        await client.chat.completions.create(model="deepseek-chat", messages=ASK)
        await client.chat.completions.create(model="deepseek-ai/DeepSeek-V3.1-Terminus", messages=ASK)
        booked = {attempt.model for attempt in client.ledger.attempts()}
    assert booked == {MODEL, "deepseek-ai/DeepSeek-V3.1-Terminus"}
    assert server.requests[-1].body["model"] == "deepseek-ai/DeepSeek-V3.1-Terminus"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (402, openai.APIStatusError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_endpoints_refusal_is_openais_error(status: int, error: type[Exception], stream: bool) -> None:
    async with BillServer(Failure(status, "no and no")) as server, facade(server, max_retries=0) as client:
        with pytest.raises(error, match="no and no") as caught:
            await client.chat.completions.create(model="deepseek-chat", messages=ASK, stream=stream)
        assert len(server.requests) == 1
    assert isinstance(caught.value, openai.APIStatusError)
    assert caught.value.status_code == status
    assert caught.value.request_id == "trace-1"


async def test_a_lost_line_and_a_slow_answer_are_openais_errors_too() -> None:
    async with BillServer([Drop(), CANBERRA.but(delay=30)]) as server, facade(server, max_retries=0) as client:
        with pytest.raises(openai.APIConnectionError):
            await client.chat.completions.create(model="deepseek-chat", messages=ASK)
        with pytest.raises(openai.APITimeoutError):
            await client.with_options(timeout=0.05).chat.completions.create(model="deepseek-chat", messages=ASK)


async def test_a_stream_that_breaks_raises_in_the_loop() -> None:
    broken = CANBERRA.but(text="Canberra is the capital.", error_after=8)
    async with BillServer(broken) as server, facade(server, max_retries=0) as client:
        stream = await client.chat.completions.create(model="deepseek-reasoner", messages=ASK, stream=True)
        with pytest.raises(openai.APIError):
            async for _ in stream:
                pass


async def test_retries_are_the_clients_own_and_every_one_is_booked() -> None:
    script = [Failure(429, retry_after="0.01"), Failure(429, retry_after="0.01"), CANBERRA]
    async with BillServer(script) as server, facade(server, max_retries=0) as client:
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="deepseek-chat", messages=ASK)
        told = await client.with_options(max_retries=1).chat.completions.create(model="deepseek-chat", messages=ASK)
        assert told.choices[0].message.content == "Canberra."
        assert [attempt.status for attempt in client.ledger.attempts()] == ["released", "released", "settled"]


async def test_a_full_budget_is_deepthrifts_own_error(server: BillServer) -> None:
    async with facade(server, ledger="memory:", budgets=[Budget("0.000001", per="day")]) as client:
        for stream in (False, True):
            with pytest.raises(BudgetExceeded):
                await client.chat.completions.create(model="auto", messages=ASK, max_tokens=500, stream=stream)
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="auto", messages=ASK, extra_body={"deepthrift": {"pilocy": 1}})
    assert "policy" in str(caught.value)
    assert server.requests == []


async def test_what_has_no_price_is_not_sent(server: BillServer) -> None:
    async with AsyncOpenAI(base_url=server.url, api_key="key") as client:
        with pytest.raises(PriceNotFound):
            await client.chat.completions.create(model="gpt-4o", messages=ASK)
    assert server.requests == []


async def test_headers_tags_and_unknown_fields_reach_where_they_belong(server: BillServer) -> None:
    async with facade(server, default_headers={"x-team": "search"}) as client:
        await client.chat.completions.create(
            model="deepseek-chat",
            messages=[{"role": "developer", "content": "Be brief."}, *ASK],
            extra_headers={"x-once": "1"},
            extra_body={"top_k": 5, "deepthrift": {"tags": {"customer": "ada"}}},
            user="u1",
            metadata={"job": "nightly"},
            presence_penalty=0.5,
        )
        [attempt] = client.ledger.attempts()
    [request] = server.requests
    assert (request.headers["x-team"], request.headers["x-once"]) == ("search", "1")
    assert not [name for name in request.headers if name.startswith("x-stainless")]
    assert request.messages[0]["role"] == "system"
    assert (request.body["top_k"], request.body["presence_penalty"]) == (5, 0.5)
    assert "user" not in request.body
    assert attempt.tags == {"customer": "ada", "user": "u1", "job": "nightly"}


async def test_a_key_can_change_and_a_function_can_make_it() -> None:
    async def key() -> str:
        return "made"

    async with BillServer(CANBERRA, key="made") as server:
        async with facade(server, api_key=key) as client:
            await client.chat.completions.create(model="deepseek-chat", messages=ASK)
        async with facade(server, api_key="old") as client:
            with pytest.raises(openai.AuthenticationError):
                await client.chat.completions.create(model="deepseek-chat", messages=ASK)
            await client.with_options(api_key="made").chat.completions.create(model="deepseek-chat", messages=ASK)


async def test_raw_responses_and_closing(server: BillServer) -> None:
    client = facade(server)
    raw = await client.with_raw_response.chat.completions.create(model="deepseek-chat", messages=ASK)
    parsed = raw.parse()
    assert parsed.choices[0].message.content == "Canberra."
    assert not client.is_closed()
    await client.close()
    assert client.is_closed()


async def test_a_router_of_ones_own_stays_open(server: BillServer) -> None:
    with Ledger.open() as ledger:
        async with (
            AsyncClient(server.url, host="vllm", api_key="key", prices=prices(), ledger=ledger) as own,
            ModeRouter(own, policy="standard") as router,
        ):
            async with AsyncOpenAI(router=router) as client:
                assert str(client.base_url).rstrip("/") == server.url
                await client.chat.completions.create(model="auto", messages=ASK)
                with pytest.raises(openai.NotFoundError):
                    await client.chat.completions.create(model="gpt-4o", messages=ASK)
            await own.chat("still open", max_tokens=5)
        assert len(ledger.attempts()) == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"http_client": object()}, "proxies and certificates"),
        ({"provider": object()}, "not an argument"),
        ({"ledger": Ledger, "budgets": [Budget("1", per="day")]}, "belong to the ledger"),
    ],
)
async def test_settings_that_mean_nothing_here_are_refused(wrong: Any, message: str, server: BillServer) -> None:
    with Ledger.open() as ledger:
        if wrong.get("ledger") is Ledger:
            wrong = {**wrong, "ledger": ledger}
        with pytest.raises(ConfigurationError, match=message):
            facade(server, **wrong)
    async with facade(server) as client:
        with pytest.raises(ConfigurationError, match="another endpoint"):
            client.with_options(base_url="http://elsewhere/v1")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"messages": "Hello"}, openai.BadRequestError),
        ({"messages": [1]}, openai.BadRequestError),
        ({"messages": None}, openai.BadRequestError),
        ({"extra_body": {"deepthrift": {"tags": 3}}}, openai.BadRequestError),
        ({"extra_body": {"deepthrift": {"deadline": "soon"}}}, ConfigurationError),
    ],
)
async def test_what_is_no_request_is_a_typed_error(wrong: Any, error: type[Exception], server: BillServer) -> None:
    async with facade(server) as client:
        asked: Any = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}], **wrong}
        with pytest.raises(error):
            await client.chat.completions.create(**asked)
    assert server.requests == []


async def test_a_router_that_fails_to_close_leaves_nothing_else_open(
    server: BillServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = facade(server)
    closed: list[str] = []

    async def fails() -> None:
        raise RuntimeError("not today")

    monkeypatch.setattr(client.router, "aclose", fails)
    ledger, inner = client.ledger, client.router.client
    monkeypatch.setattr(ledger, "close", lambda close=ledger.close: (closed.append("ledger"), close()))
    with pytest.raises(RuntimeError, match="not today"):
        await client.close()
    assert closed == ["ledger"]
    with pytest.raises(ClientClosed):
        await inner.chat("Hello", max_tokens=5)


async def test_a_service_tier_goes_to_the_host_and_into_the_ledger() -> None:
    """It is openai's own argument: the price of the tier is booked, and a host without it refuses."""
    book = PriceBook.flat(cache_miss="2", completion="2") + PriceBook.flat(cache_miss="1", completion="1", tier="flex")
    async with BillServer(CANBERRA.but(service_tier="flex")) as server:
        async with facade(server, host="bedrock", prices=book) as client:
            await client.chat.completions.create(
                model="deepseek-chat", messages=ASK, max_tokens=50, service_tier="flex"
            )
            assert [request.body["service_tier"] for request in server.requests] == ["flex"] * len(server.requests)
            assert {attempt.service_tier for attempt in client.ledger.attempts()} == {"flex"}
            assert {attempt.cost.price_ids for attempt in client.ledger.attempts()} == {("flat",)}
        async with facade(server, host="vllm", prices=book) as client:
            with pytest.raises(openai.BadRequestError, match="has no service tier 'flex'"):
                await client.chat.completions.create(model="auto", messages=ASK, service_tier="flex")
