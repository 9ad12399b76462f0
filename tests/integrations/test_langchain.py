"""What LangChain's conformance tests do not ask: awaited clients, routers, cost, reasoning, errors."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

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
    slow = CANBERRA.but(text="Canberra. " * 300, token_delay=0.01)
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
