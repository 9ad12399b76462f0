"""The client on the embedded engine: `AsyncClient.local` and `Client.local`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from deepthrift import AsyncClient, Client
from deepthrift.errors import ConfigurationError, ContextLengthExceeded, ModelFileError
from deepthrift.local import Engine
from deepthrift.middleware import CallNext, Request, Response
from deepthrift_pricing import Ledger
from deepthrift_pricing.tokens import count_text
from tests.sdk.local.processes import until
from tests.support.tiny_gguf import STANDARD_ANSWER, THINKING_ANSWER, THOUGHTS

pytestmark = pytest.mark.engine


async def test_both_modes_and_what_they_cost(tiny: Path) -> None:
    with Ledger.open("memory:") as ledger:
        async with AsyncClient.local(tiny, ledger=ledger, slots=2) as client:
            standard = await client.chat("What is the capital of France?")
            thinking = await client.chat("What is the capital of France?", mode="thinking")
            assert client.host.name == "local"
        assert (standard.text, standard.reasoning, standard.mode) == (STANDARD_ANSWER, None, "standard")
        assert (thinking.text, thinking.mode) == (THINKING_ANSWER, "thinking")
        assert (thinking.reasoning or "").strip() == THOUGHTS.strip()
        assert thinking.usage.reasoning_tokens == count_text(THOUGHTS)
        assert thinking.usage.prompt_tokens == standard.usage.prompt_tokens
        assert not standard.warnings
        assert not thinking.warnings
        booked = ledger.attempts()
        assert sorted(attempt.mode for attempt in booked) == ["standard", "thinking"]
        assert sum(attempt.cost.total.amount for attempt in booked if attempt.cost) == (
            standard.cost.total.amount + thinking.cost.total.amount
        )


async def test_a_stream_ends_in_the_same_reply_and_counts_are_exact(tiny: Path) -> None:
    async with AsyncClient.local(tiny, context=256) as client:
        async with client.stream("Hello", mode="thinking") as stream:
            kinds = [type(event).__name__ async for event in stream]
        reply = await client.chat("Hello", mode="thinking")
        assert await client.count("Hello", mode="thinking") == reply.usage.prompt_tokens
        with pytest.raises(ContextLengthExceeded):
            await client.chat("word " * 400)
        assert len(client.ledger.attempts()) == 2
    assert stream.reply.text == reply.text == THINKING_ANSWER
    assert stream.reply.usage.completion_tokens == reply.usage.completion_tokens
    assert kinds[-1] == "Finished"
    assert kinds.index("ReasoningDelta") < kinds.index("TextDelta")


def test_the_synchronous_door(tiny: Path) -> None:
    with Client.local(tiny) as client:
        assert client.chat("Hello").text == STANDARD_ANSWER
        assert client.chat("Hello", mode="thinking").text == THINKING_ANSWER


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sharing needs locks of files")
async def test_clients_share_an_engine_by_asking_for_the_same_one(tiny: Path) -> None:
    async with AsyncClient.local(tiny, context=256, share=True) as mine:
        async with AsyncClient.local(tiny, context=256, share=True) as yours:
            assert mine.base_url == yours.base_url
            assert (await yours.chat("Hello")).text == STANDARD_ANSWER
        assert (await mine.chat("Hello")).text == STANDARD_ANSWER

        def synchronous() -> str:
            with Client.local(tiny, context=256, share=True) as third:
                return third.base_url

        assert await asyncio.to_thread(synchronous) == mine.base_url
        async with AsyncClient.local(tiny, context=128, share=True) as other:
            assert other.base_url != mine.base_url


@pytest.mark.slow
async def test_an_idle_engine_sleeps_until_the_next_call(tiny: Path) -> None:
    async with AsyncClient.local(tiny, idle_shutdown=0.3) as client:
        engine = client._session._engine
        assert engine is not None
        assert (await client.chat("Hello")).text == STANDARD_ANSWER
        assert await until(lambda: engine.pid is None)
        assert (await client.chat("Hello")).text == STANDARD_ANSWER


def test_settings_of_an_engine_that_is_given_are_said_there(tiny: Path) -> None:
    engine = Engine(tiny)
    for wrong in (
        {"model": tiny},
        {"context": 256},
        {"slots": 2},
        {"threads": 1},
        {"template": "x"},
        {"share": True},
        {"idle_shutdown": 60.0},
    ):
        [name] = wrong
        settings: dict[str, Any] = {"engine": engine, **wrong}
        with pytest.raises(ConfigurationError, match=rf"say it there, Engine\({name}=…\)"):
            AsyncClient.local(**settings)
    for wrong in ({"idle_shutdown": 0.0}, {"share": ""}):
        settings = {"model": tiny, **wrong}
        with pytest.raises(ConfigurationError):
            AsyncClient.local(**settings)


async def test_a_bad_model_is_told_by_the_client(tmp_path: Path) -> None:
    client = AsyncClient.local(tmp_path / "none.gguf")
    with pytest.raises(ModelFileError, match="no model file"):
        async with client:
            pass
    await client.aclose()


@pytest.mark.slow
async def test_the_default_model_thinks_in_two_passes() -> None:
    async with AsyncClient.local() as client:
        question = "What is the capital of France?"
        standard = await client.chat(question, temperature=0, max_tokens=64)
        thinking = await client.chat(question, mode="thinking", temperature=0, max_tokens=160)
        assert await client.count(question) == standard.usage.prompt_tokens
    assert "Paris" in standard.text
    assert thinking.text
    assert thinking.reasoning
    assert thinking.mode == "thinking"
    assert len(thinking.attempts) == 2
    assert 0 < thinking.usage.reasoning_tokens < thinking.usage.completion_tokens


async def test_plain_text_and_begun_answers_are_continued_and_counted_exactly(chatty: Path) -> None:
    seen: list[str] = []

    async def look(request: Request, call_next: CallNext) -> Response:
        seen.append(request.url.removeprefix(client.base_url))
        return await call_next(request)

    async with AsyncClient.local(chatty, context=256, middleware=[look]) as client:
        plain = await client.complete("The capital of", max_tokens=4)
        assert (plain.usage.prompt_tokens, plain.usage.completion_tokens) == (1 + count_text("The capital of"), 4)
        async with client.stream_complete("a = ", suffix="\nb = 2", max_tokens=4) as stream:
            async for _ in stream:
                pass
        assert stream.reply.usage.prompt_tokens == 4 + count_text("a = ") + count_text("\nb = 2")
        assert stream.reply.text
        for mode in ("standard", "thinking"):
            expected = client.estimate("Hello", prefix="Once upon", mode=mode, max_tokens=4).prompt_tokens
            reply = await client.chat("Hello", prefix="Once upon", mode=mode, max_tokens=4)
            assert reply.usage.prompt_tokens == expected
            assert reply.mode == mode
    assert len(seen) == 4
