"""What a type checker tells a user of the client: mypy and pyright read this file, nothing runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from decimal import Decimal
from typing import Literal, assert_type

from pydantic import BaseModel

from deepthrift import (
    AsyncClient,
    AsyncStream,
    Balance,
    CircuitBreaker,
    CircuitState,
    Client,
    Conversation,
    Endpoint,
    EndpointStatus,
    Finished,
    JSONValue,
    Message,
    ModelInfo,
    RawResponse,
    ReasoningDelta,
    Reply,
    Samples,
    Stream,
    StreamEvent,
    StreamStarted,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)
from deepthrift.compare import Comparison, compare_sync
from deepthrift.middleware import CallNext, Middleware, Request, Response, ResponseCache
from deepthrift.structured import AsyncParseStream, Parsed, ParseStream
from deepthrift.testing import MockDisconnect, MockError, MockReply, MockTransport, Recorder, SentRequest
from deepthrift.tools import Tool, ToolReply, ToolResult
from deepthrift_pricing import Attempt, Cost, Estimate, Ledger, Money, PriceBook, Usage


async def asynchronous(client: AsyncClient) -> None:
    reply = await client.chat("Why?", mode="thinking", max_tokens=64)
    assert_type(reply, Reply)
    assert_type(reply.text, str)
    assert_type(reply.reasoning, str | None)
    assert_type(reply.mode, Literal["standard", "thinking"])
    assert_type(reply.usage, Usage)
    assert_type(reply.usage.reasoning_tokens, int)
    assert_type(reply.cost, Cost)
    assert_type(reply.cost.amount, Decimal)
    assert_type(reply.cost.total, Money)
    assert_type(reply.attempts, tuple[Attempt, ...])
    assert_type(reply.tool_calls, tuple[ToolCall, ...])

    async with client.stream([{"role": "user", "content": "Why?"}], mode="standard") as stream:
        assert_type(stream, AsyncStream)
        async for event in stream:
            assert_type(event, StreamEvent)
            match event:
                case StreamStarted():
                    assert_type(event.attempt_id, str)
                case ReasoningDelta() | TextDelta():
                    assert_type(event.text, str)
                case ToolCallDelta():
                    assert_type(event.index, int)
                case Finished():
                    assert_type(event.reply, Reply)
    assert_type(stream.reply, Reply)

    assert_type(client.estimate("Why?", mode="standard"), Estimate)
    assert_type(await client.count("Why?", mode="standard"), int)
    assert_type(client.ledger, Ledger)
    assert_type(client.prices, PriceBook)

    async with AsyncClient.local(share="all", idle_shutdown=60) as local:
        assert_type(local, AsyncClient)


def synchronous(client: Client) -> None:
    assert_type(client.chat("Why?"), Reply)
    with client.stream("Why?", mode="thinking") as stream:
        for event in stream:
            assert_type(event, StreamEvent)
        assert_type(stream.reply, Reply)
    assert_type(client.estimate_complete("def f():", suffix="\n"), Estimate)
    assert_type(compare_sync(client, client, ["Why?"], temperature=0), Comparison)
    with Client.local(share=True, idle_shutdown=60) as local:
        assert_type(local, Client)


class Invoice(BaseModel):
    number: str


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def tools_and_objects(client: AsyncClient, sync: Client) -> None:
    reply = await client.run_tools("Why?", tools=[add, Tool.of(add, name="sum")], max_spend="0.10", temperature=0)
    assert_type(reply, ToolReply)
    assert_type(reply.messages, tuple[Message, ...])
    assert_type(reply.results, tuple[ToolResult, ...])
    await client.chat([*reply.messages, {"role": "user", "content": "And?"}])
    assert_type(sync.run_tools("Why?", tools=[add]), ToolReply)

    assert_type(await client.parse("Why?", into=Invoice), Invoice)
    parsed = await client.parse_reply("Why?", into=Invoice, mode="thinking")
    assert_type(parsed, Parsed[Invoice])
    assert_type(parsed.value.number, str)
    assert_type(sync.parse("Why?", into=Invoice), Invoice)
    async with client.stream_parse("Why?", into=Invoice) as stream:
        assert_type(stream, AsyncParseStream[Invoice])
        async for partial in stream:
            assert_type(partial, dict[str, JSONValue])
        assert_type(stream.value, Invoice)
    with sync.stream_parse("Why?", into=Invoice) as synced:
        assert_type(synced, ParseStream[Invoice])
        assert_type(synced.reply.value, Invoice)


async def requests(client: AsyncClient, sync: Client) -> None:
    completed = await client.complete("a = ", suffix="\n", max_tokens=8, temperature=0)
    assert_type(completed, Reply)
    assert_type(client.stream_complete("a = "), AsyncStream)
    assert_type(sync.complete("a = "), Reply)
    assert_type(sync.stream_complete("a = ", suffix="\n"), Stream)
    samples = await client.samples("Why?", n=3, mode="thinking")
    assert_type(samples, Samples)
    assert_type(samples[0], Reply)
    assert_type(samples.texts, tuple[str, ...])
    assert_type(samples.cost, Cost)
    assert_type(sync.samples("Why?", n=3), Samples)
    assert_type(await client.models(), tuple[ModelInfo, ...])
    assert_type(await client.balance(), Balance)
    assert_type(sync.balance().amounts[0].total, Decimal)
    assert_type(completed.raw, RawResponse | None)
    await client.chat("Why?", prefix="Be", extra_headers={"x-team": "a"}, max_retries=0, idle_timeout=1.0)

    talk = Conversation(system="Be brief.").user("Why?")
    assert_type(talk.add(await client.chat(talk)), Conversation)
    assert_type(talk[-1], Message)
    assert_type(talk[1:], list[Message])
    assert_type(talk.trim(100, mode="standard"), list[Message])
    sync.run_tools(talk, tools=[add])


async def logged(request: Request, call_next: CallNext) -> Response:
    assert_type(request.mode, Literal["standard", "thinking"])
    assert_type(request.headers, Mapping[str, str])
    response = await call_next(request.with_headers({"x-trace": "1"}))
    assert_type(response.chunks, AsyncIterator[bytes] | None)
    return response


def traced(request: Request, call_next: CallNext) -> Awaitable[Response]:
    return call_next(request)


async def blocking(request: Request) -> Response:
    return Response()


def layered() -> None:
    middleware: list[Middleware] = [logged, traced, ResponseCache("answers.db")]
    Client("http://gpu-box/v1", middleware=middleware)
    AsyncClient("http://gpu-box/v1", middleware=[logged, traced])
    AsyncClient("http://gpu-box/v1", middleware=[blocking])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


def tested() -> None:
    transport = MockTransport([MockReply("Yes.", tool_calls=[("f", {"a": 1})]), MockError(429), MockDisconnect()])
    Client("http://test/v1", transport=transport)
    MockTransport(lambda sent: MockReply(sent.question))
    assert_type(transport.last, SentRequest)
    assert_type(transport.last.mode, Literal["standard", "thinking"])
    AsyncClient("http://test/v1", transport=Recorder("cassette.jsonl"))
    MockTransport("Yes.")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def refused(client: AsyncClient, messages: Sequence[int]) -> None:
    """Mistakes that a type checker finds before the program runs; an ignore that is not needed is an error itself."""
    await client.chat("Why?", mode="deep")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.chat(messages)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.chat("Why?", max_tokens="64")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.chat("Why?", unknown=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    reply = await client.chat("Why?")
    reply.cost.amount + 0.1  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    await client.run_tools("Why?", tools=[1])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    await client.parse("Why?", into=Invoice, tools=[])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def endpoints() -> None:
    several = [Endpoint("http://gpu-box/v1", host="vllm", region="eu", max_concurrency=8), Endpoint(host="deepseek")]
    async with AsyncClient(
        endpoints=several, regions={"eu"}, circuit_breaker=CircuitBreaker(failures=3), verify="ca.pem", http2=True
    ) as client:
        assert_type(client.endpoints, tuple[EndpointStatus, ...])
        assert_type(client.endpoints[0].circuit, CircuitState)
        assert_type(client.endpoints[0].limit, int | None)
        await client.chat("Hi", regions=["eu"])
        await client.aclose(grace=5)
    Client(endpoints=several, circuit_breaker=None, cert=("client.pem", "client.key")).close(grace=5.0)
    Endpoint("http://gpu-box/v1", "vllm")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    AsyncClient("http://gpu-box/v1", max_concurrency="8")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
