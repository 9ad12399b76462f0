"""What pydantic-ai documents of agents, done by real agents on a real server."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    ModelAPIError,
    ModelHTTPError,
    ModelRetry,
    NativeOutput,
    PromptedOutput,
    RunContext,
    ToolOutput,
    UsageLimitExceeded,
    UsageLimits,
)
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import BinaryContent, ModelResponse, ThinkingPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.fallback import FallbackModel

from deepthrift import AsyncClient, Client
from deepthrift.errors import BudgetExceeded, ConfigurationError, InvalidRequestError
from deepthrift.integrations.pydantic_ai import DeepthriftModel
from deepthrift_pricing import Budget, Ledger
from deepthrift_router import ModeRouter
from tests.router.support import routing
from tests.support.bill_server import Answer, BillServer, Drop, Failure, Received
from tests.support.doors import settings
from tests.support.obliging import oblige

CANBERRA = Answer("Canberra.", reasoning="Not Sydney.", cache_hit=4)


class City(BaseModel):
    """A city."""

    name: str
    people: int


async def test_a_thinking_answer_has_its_parts_usage_and_cost() -> None:
    async with BillServer(CANBERRA) as server, AsyncClient(**settings(server)) as client:
        model = DeepthriftModel(client, mode="thinking", options={"tags": {"team": "a"}})
        agent = Agent(model, instructions="Be brief.", system_prompt="You know cities.")
        result = await agent.run("The capital of Australia?", model_settings={"max_tokens": 90, "temperature": 0.3})
        await server.wait_quiet()
        [attempt] = client.ledger.attempts()
    assert result.output == "Canberra."
    said = [message["content"] for message in server.requests[0].messages]
    assert (said[0], said[-1], said.count("Be brief.")) == ("You know cities.", "The capital of Australia?", 1)
    assert server.requests[0].max_tokens == 90
    answer = result.all_messages()[-1]
    assert isinstance(answer, ModelResponse)
    assert [part.part_kind for part in answer.parts] == ["thinking", "text"]
    assert answer.finish_reason == "stop"
    assert (answer.usage.cache_read_tokens, answer.usage.output_reasoning_tokens) == (4, 2)
    assert answer.usage.cost == attempt.cost.amount == server.bill.total
    assert answer.provider_details is not None
    assert answer.provider_details["attempt_ids"] == [attempt.id]
    assert attempt.tags == {"team": "a"}


async def test_the_setting_thinking_is_the_mode_of_a_client_and_the_policy_of_a_router() -> None:
    async with BillServer(CANBERRA) as server, AsyncClient(**settings(server)) as client:
        for source in (client, ModeRouter(client)):
            agent = Agent(DeepthriftModel(source))
            for thinking in (True, False):
                await agent.run("The capital?", model_settings={"thinking": thinking})
    assert [request.mode_ran for request in server.requests] == ["thinking", "standard"] * 2


async def test_tools_are_called_with_dependencies_and_asked_again_when_they_say_so() -> None:
    tries: list[int] = []

    def script(request: Received) -> Answer:
        if request.messages[-1]["role"] == "tool" and "try" not in str(request.messages[-1]["content"]).lower():
            return Answer(f"The sum is {request.messages[-1]['content']}.")
        return Answer("", tool_calls=[("add", '{"a": 3, "b": 4}')])

    async with BillServer(script) as server, AsyncClient(**settings(server)) as client:
        agent = Agent(DeepthriftModel(client), deps_type=int, retries=2)

        @agent.tool
        def add(context: RunContext[int], a: int, b: int) -> int:
            """Add two numbers."""
            tries.append(a)
            if len(tries) == 1:
                raise ModelRetry("Try again.")
            return a + b + context.deps

        result = await agent.run("Add 3 and 4", deps=10)
    assert result.output == "The sum is 17."
    assert len(server.requests) == 3
    assert server.requests[0].body["tool_choice"] == "auto"
    kinds = [part for message in result.all_messages() for part in message.parts]
    assert [part.content for part in kinds if isinstance(part, ToolReturnPart)][-1] == 17
    assert result.usage.requests == 3


@pytest.mark.parametrize(
    ("mode", "output"),
    [
        *(("standard", output) for output in (City, ToolOutput(City), NativeOutput(City), PromptedOutput(City))),
        *(("thinking", output) for output in (City, NativeOutput(City), PromptedOutput(City))),
    ],
)
async def test_objects_in_every_output_mode(mode: Any, output: Any) -> None:
    def script(request: Received) -> Answer:
        if (request.body.get("response_format") or {}).get("type") == "json_object":  # type: ignore[attr-defined]
            return Answer('{"name": "Canberra", "people": 7}')
        return oblige(request)

    async with BillServer(script) as server, AsyncClient(**settings(server)) as client:
        result = await Agent(DeepthriftModel(client, mode=mode), output_type=output).run("A city of 7 people")
        async with Agent(DeepthriftModel(client, mode=mode), output_type=output).run_stream("Of 7 people") as stream:
            streamed = [each async for each in stream.stream_output()]
    assert result.output.people == 7
    assert streamed[-1].people == 7


async def test_an_answer_that_does_not_fit_is_asked_for_again_and_then_given_up() -> None:
    script = [Answer("nothing of the kind"), Answer('{"name": "Canberra", "people": 7}'), Answer("no")]
    async with BillServer(script) as server, AsyncClient(**settings(server)) as client:
        agent = Agent(DeepthriftModel(client), output_type=NativeOutput(City), retries=1)
        assert (await agent.run("A city?")).output == City(name="Canberra", people=7)
        with pytest.raises(UnexpectedModelBehavior):
            await agent.run("A city?")
    assert len(server.requests[1].messages) > len(server.requests[0].messages)


async def test_a_stream_shows_text_as_it_comes_and_ends_with_usage() -> None:
    async with BillServer(CANBERRA.but(text="Canberra is it.")) as server, AsyncClient(**settings(server)) as client:
        agent = Agent(DeepthriftModel(client, mode="thinking"))
        async with agent.run_stream("The capital?") as stream:
            seen = [text async for text in stream.stream_text(delta=True, debounce_by=None)]
        await server.wait_quiet()
        answer = stream.all_messages()[-1]
        assert "".join(seen) == "Canberra is it."
        assert len(seen) == 3
        assert isinstance(answer, ModelResponse)
        assert isinstance(answer.parts[0], ThinkingPart)
        assert answer.usage.cost == server.bill.total
        assert answer.state == "complete"


async def test_a_cancelled_stream_stops_upstream_and_is_booked() -> None:
    slow = CANBERRA.but(text="Canberra. " * 300, stall_after=20)
    async with BillServer(slow) as server, AsyncClient(**settings(server)) as client:
        async with Agent(DeepthriftModel(client)).run_stream("The capital?") as stream:
            async for _ in stream.stream_text(debounce_by=None):
                await stream.cancel()
        await server.wait_quiet()
        assert server.requests[0].disconnected
        assert client.ledger.attempts()[0].cost.amount > Decimal(0)


async def test_history_goes_on_with_tool_calls_in_it() -> None:
    async with BillServer(oblige) as server, AsyncClient(**settings(server)) as client:
        agent = Agent(DeepthriftModel(client))

        @agent.tool_plain
        def lookup(city: str) -> str:
            """Look a city up."""
            return f"{city} is sunny"

        first = await agent.run("How is it in 'Canberra'?")
        second = await agent.run("And now?", message_history=first.all_messages())
    assert first.output == "It says: Canberra is sunny"
    assert second.output
    roles = [message["role"] for message in server.requests[2].messages]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


async def test_usage_limits_hold() -> None:
    async with BillServer(oblige) as server, AsyncClient(**settings(server)) as client:
        agent = Agent(DeepthriftModel(client))

        @agent.tool_plain
        def lookup(city: str) -> str:
            """Look a city up."""
            return city

        with pytest.raises(UsageLimitExceeded):
            await agent.run("How is it?", usage_limits=UsageLimits(request_limit=1))
        with pytest.raises(UsageLimitExceeded):
            await agent.run("How is it?", usage_limits=UsageLimits(output_tokens_limit=1))
    assert len(server.requests) == 2


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_router_answers_tools_and_tells_its_decision(streamed: bool) -> None:
    async with routing([Answer("Sydney."), Answer("Melbourne.")], CANBERRA, policy="cascade") as (router, _):
        agent = Agent(DeepthriftModel(router), model_settings={"max_tokens": 200})
        if streamed:
            async with agent.run_stream("The capital?") as stream:
                assert await stream.get_output() == "Canberra."
            answer = stream.all_messages()[-1]
        else:
            result = await agent.run("The capital?")
            assert result.output == "Canberra."
            answer = result.all_messages()[-1]
    assert isinstance(answer, ModelResponse)
    assert answer.provider_details is not None
    assert answer.provider_details["path"][-1] == "escalate"
    async with BillServer(oblige) as server, AsyncClient(**settings(server)) as client:
        agent = Agent(DeepthriftModel(ModeRouter(client)), output_type=City)
        if streamed:
            async with agent.run_stream("A city of 7") as stream:
                assert await stream.get_output() == City(name="cats", people=7)
        else:
            result = await agent.run("A city of 7")
            assert any(isinstance(part, ToolCallPart) for part in result.all_messages()[1].parts)


async def test_errors_are_pydantic_ais_where_it_has_them_so_that_a_fallback_steps_in() -> None:
    script = [Failure(429), Failure(500), Drop(), CANBERRA]
    async with BillServer(script) as server, AsyncClient(**settings(server, max_retries=0)) as client:
        model = DeepthriftModel(client)
        with pytest.raises(ModelHTTPError) as caught:
            await Agent(model).run("The capital?")
        assert caught.value.status_code == 429
        async with BillServer(CANBERRA) as other, AsyncClient(**settings(other)) as second:
            result = await Agent(FallbackModel(model, DeepthriftModel(second))).run("The capital?")
            assert result.output == "Canberra."
        with pytest.raises(ModelAPIError):
            async with Agent(model).run_stream("The capital?") as stream:
                await stream.get_output()


async def test_what_pydantic_ai_has_no_word_for_is_raised_as_it_is() -> None:
    with Ledger.open(budgets=[Budget("0.0000001", per="day")]) as ledger:
        async with BillServer(CANBERRA) as server, AsyncClient(**settings(server, ledger=ledger)) as client:
            agent = Agent(DeepthriftModel(client))
            with pytest.raises(BudgetExceeded):
                await agent.run("The capital?")
            with pytest.raises(InvalidRequestError, match="text only"):
                await agent.run(["What is this?", BinaryContent(b"x", media_type="image/png")])
            assert server.requests == []
    with pytest.raises(ConfigurationError, match="AsyncClient"), Client("http://localhost:1/v1", host="vllm") as sync:
        DeepthriftModel(sync)
