"""What LangChain's conformance tests do not ask: awaited clients, routers, cost, reasoning, errors."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, ValidationError

from deepthrift import AsyncClient
from deepthrift.errors import BudgetExceeded, ConfigurationError, InvalidRequestError
from deepthrift.integrations.langchain import ChatDeepthrift
from deepthrift_pricing import Budget, Ledger, Money
from deepthrift_router import ModeRouter
from tests.router.support import routing
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import settings
from tests.support.obliging import oblige

CANBERRA = Answer("Canberra.", reasoning="Not Sydney.")


class City(BaseModel):
    """A city."""

    name: str
    people: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def test_a_chain_on_an_awaited_client_carries_reasoning_usage_and_cost() -> None:
    async with BillServer(CANBERRA.but(cache_hit=4)) as server, AsyncClient(**settings(server)) as client:
        model = ChatDeepthrift(client=client, mode="thinking", max_tokens=100, options={"tags": {"team": "a"}})
        answer = await model.ainvoke("The capital of Australia?")
        chain = ChatPromptTemplate.from_template("The capital of {country}?") | model | StrOutputParser()
        assert await chain.ainvoke({"country": "Australia"}) == "Canberra."
        await server.wait_quiet()
        booked = client.ledger.attempts()
        assert server.requests[0].max_tokens == 100
    assert answer.content_blocks == [
        {"type": "reasoning", "reasoning": "Not Sydney."},
        {"type": "text", "text": "Canberra."},
    ]
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_token_details"] == {"cache_read": 4}
    assert answer.usage_metadata["output_token_details"] == {"reasoning": 2}
    cost = answer.response_metadata["cost"]["total"]
    assert Money.of(cost["amount"], cost["currency"]) == booked[0].cost.total
    assert answer.response_metadata["attempt_ids"] == [booked[0].id]
    assert booked[0].tags == {"team": "a"}


async def test_a_stream_that_is_left_stops_upstream() -> None:
    slow = CANBERRA.but(text="Canberra. " * 300, stall_after=20)
    async with BillServer(slow) as server, AsyncClient(**settings(server)) as client:
        stream = ChatDeepthrift(client=client).astream("Hello")
        assert isinstance(await anext(stream), AIMessageChunk)
        await stream.aclose()  # type: ignore[attr-defined]
        await server.wait_quiet()
        assert server.requests[0].disconnected
        assert client.ledger.attempts()[0].status == "settled"


async def test_a_router_tells_its_decision_and_calls_tools() -> None:
    async with routing([Answer("Sydney."), Answer("Melbourne.")], CANBERRA, policy="cascade") as (router, _):
        model = ChatDeepthrift(client=router, max_tokens=200)
        answer = await model.ainvoke("The capital of Australia?")
    assert answer.content == "Canberra."
    assert answer.response_metadata["path"][-1] == "escalate"
    assert answer.response_metadata["decision"]["policy"] == "cascade"
    async with BillServer(oblige) as server, AsyncClient(**settings(server)) as client:
        model = ChatDeepthrift(client=ModeRouter(client))
        full: Any = None
        async for chunk in model.bind_tools([add], tool_choice="add").astream("Add 3 and 3"):
            full = chunk if full is None else full + chunk
    assert [(call["name"], call["args"]) for call in full.tool_calls] == [("add", {"a": 3, "b": 3})]


async def test_objects_by_every_method_and_errors_beside_the_raw_message() -> None:
    async with BillServer(oblige) as server, AsyncClient(**settings(server)) as client:
        model = ChatDeepthrift(client=client)
        for method in (None, "json_schema", "function_calling"):
            found = await model.with_structured_output(City, method=method).ainvoke("A city of 9 people?")
            assert found == City(name="cats", people=9)
        thinking = ChatDeepthrift(client=client, mode="thinking").with_structured_output(City)
        assert await thinking.ainvoke("A city of 9 people?") == City(name="cats", people=9)
    async with BillServer(Answer("no object")) as server, AsyncClient(**settings(server)) as client:
        told = await ChatDeepthrift(client=client).with_structured_output(City, include_raw=True).ainvoke("A city?")
    assert isinstance(told, dict)
    assert told["parsed"] is None
    assert told["parsing_error"] is not None
    assert isinstance(told["raw"], AIMessage)


async def test_arguments_that_are_no_json_are_told_as_such_and_can_be_sent_back() -> None:
    script = Answer("", tool_calls=[("add", '{"a": ')])
    async with BillServer(script) as server, AsyncClient(**settings(server)) as client:
        model = ChatDeepthrift(client=client).bind_tools([add])
        answer = await model.ainvoke("Add.")
        assert [call["args"] for call in answer.invalid_tool_calls] == ['{"a": ']
        await model.ainvoke([HumanMessage("Add."), answer, HumanMessage("Once more.")])
        assert server.requests[1].messages[1]["tool_calls"]


async def test_errors_are_deepthrifts_own() -> None:
    with Ledger.open(budgets=[Budget("0.0000001", per="day")]) as ledger:
        async with BillServer(CANBERRA) as server, AsyncClient(**settings(server, ledger=ledger)) as client:
            model = ChatDeepthrift(client=client)
            with pytest.raises(BudgetExceeded):
                await model.ainvoke("Hello")
            with pytest.raises(ConfigurationError, match="use a Client"):
                model.invoke("Hello")
            with pytest.raises(InvalidRequestError, match="reads text only"):
                await model.ainvoke([HumanMessage([{"type": "image", "url": "https://example.com/cat.png"}])])
            with pytest.raises(ValueError, match="not one of the tools"):
                model.bind_tools([add], tool_choice="subtract")
            assert server.requests == []


async def test_tokens_reach_callbacks_once() -> None:
    async with BillServer(CANBERRA) as server, AsyncClient(**settings(server)) as client:
        seen = [
            event["data"]["chunk"].content
            async for event in ChatDeepthrift(client=client).astream_events("Hello", version="v2")
            if event["event"] == "on_chat_model_stream"
        ]
    assert "".join(seen) == "Canberra."


async def test_a_cache_of_langchains_tells_models_apart() -> None:
    cache = InMemoryCache()
    cities = [Answer(f"{city}.") for city in ("Sydney", "Melbourne", "Perth", "Adelaide", "Hobart")]
    async with routing(cities, CANBERRA, policy="cascade") as (router, server):
        client = router.client
        models = [
            ChatDeepthrift(client=client, temperature=0, cache=cache),
            ChatDeepthrift(client=client, temperature=1, cache=cache),
            ChatDeepthrift(client=client, temperature=1, options={"seed": 7}, cache=cache),
            ChatDeepthrift(client=router, temperature=1, cache=cache),
        ]
        answers = [(await model.ainvoke("The capital of Australia?")).text for model in models]
        asked = len(server.requests)
        assert [(await model.ainvoke("The capital of Australia?")).text for model in models] == answers
    assert answers == ["Sydney.", "Melbourne.", "Perth.", "Canberra."]
    assert len(server.requests) == asked


async def test_options_of_a_structured_answer_reach_its_calls() -> None:
    async with BillServer(oblige) as server, AsyncClient(**settings(server)) as client:
        model = ChatDeepthrift(client=client)
        for schema in (City, City.model_json_schema()):
            found = model.with_structured_output(
                schema, method="function_calling", strict=True, max_tokens=77, top_p=0.5
            )
            bound: Any = found
            assert bound.first.kwargs["tools"][0]["function"]["strict"] is True
            answer = await found.ainvoke("A city of 7 people")
            assert (answer if isinstance(answer, dict) else answer.model_dump())["people"] == 7
    assert {(request.max_tokens, request.body["top_p"]) for request in server.requests} == {(77, 0.5)}


async def test_a_mode_on_a_router_is_refused() -> None:
    async with routing(CANBERRA) as (router, _):
        with pytest.raises(ValidationError, match="a router chooses the mode"):
            ChatDeepthrift(client=router, mode="thinking")
