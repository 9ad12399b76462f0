"""What a type checker tells a user who has changed one import: everything is openai's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import assert_type

from openai import RateLimitError
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam, ParsedChatCompletion
from pydantic import BaseModel

from deepthrift_pricing import Budget, Ledger
from deepthrift_router.compat import AsyncOpenAI, OpenAI, Routing, routing_of


class City(BaseModel):
    """What is parsed into."""

    name: str


ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Which city?"}]


async def awaited() -> AsyncIterator[str]:
    async with AsyncOpenAI(
        api_key="key", base_url="http://gpu-box:8000/v1", timeout=20.0, max_retries=1, budgets=[Budget("1", per="day")]
    ) as client:
        try:
            completion = await client.chat.completions.create(model="auto", messages=ASK)
        except RateLimitError as error:
            yield str(error.status_code)
            return
        assert_type(completion, ChatCompletion)
        assert_type(routing_of(completion), Routing | None)
        stream = await client.with_options(timeout=5).chat.completions.create(model="auto", messages=ASK, stream=True)
        async for chunk in stream:
            assert_type(chunk, ChatCompletionChunk)
            yield chunk.choices[0].delta.content or ""
        parsed = await client.chat.completions.parse(model="auto", messages=ASK, response_format=City)
        assert_type(parsed, ParsedChatCompletion[City])
        async for model in client.models.list():
            assert_type(model, Model)
        ledger: Ledger = client.ledger
        yield str(ledger.spend())


def direct() -> str | None:
    with OpenAI(api_key="key", host="deepseek", ledger="memory:") as client:
        completion = client.chat.completions.create(model="deepseek-chat", messages=ASK)
        text: str | None = completion.choices[0].message.content
        return text
