"""Estimates: the length from the ledger or from who knows better, the hits from what was sent, a miss explained."""

from __future__ import annotations

from decimal import Decimal

import pytest

from deepthrift import AsyncClient, Client
from deepthrift.errors import APIError, AuthenticationFailed, InvalidRequestError
from deepthrift_pricing import Mode
from tests.support.bill_server import Answer, BillServer, Drop, Failure, Received
from tests.support.doors import PROMPT, Door, every_door, settings, through_async, through_sync

HIT, MISS, OUT = Decimal("0.07"), Decimal("0.56"), Decimal("1.68")
RULES = "Answer in one word. " * 100


def lengths(*tokens: int) -> list[Answer]:
    return [Answer(text=[" the"] * length, reasoning=[" so"] * 3) for length in tokens]


async def test_the_expected_length_is_the_median_of_this_mode_s_answers() -> None:
    async with BillServer(lengths(10, 200, 20, 30, 40, 7)) as server, AsyncClient(**settings(server)) as client:
        assert client.estimate("Hi", max_tokens=500).likely is None
        for _ in range(4):
            await client.chat("Hi", max_tokens=500)
        assert client.estimate("Hi", max_tokens=500).recorded_answers == 0
        await client.chat("Hi", max_tokens=500)
        told = client.estimate("Hi", max_tokens=500)
        assert (told.likely_completion_tokens, told.recorded_answers) == (30, 5)
        assert told.likely is not None
        assert told.likely.amount == (MISS * told.prompt_tokens + OUT * 30) / 1_000_000
        assert "30 completion tokens (the median of 5 answers)" in str(told)
        assert client.estimate("Hi", max_tokens=25).likely_completion_tokens == 25
        assert client.estimate("Hi", mode="thinking", max_tokens=500).likely is None
        await client.chat("Hi", mode="thinking", max_tokens=500)
        assert client.estimate("Hi", mode="thinking", max_tokens=500).recorded_answers == 0


@pytest.mark.parametrize("door", ["async", "sync"])
async def test_who_knows_better_tells_the_length(door: str) -> None:
    asked: list[tuple[object, str]] = []

    def expected(messages: object, mode: Mode) -> int | None:
        asked.append((messages, mode))
        return {"thinking": 300}.get(mode)

    def check(client: AsyncClient | Client) -> None:
        told = client.estimate(PROMPT, mode="thinking", max_tokens=500, expected_length=expected)
        assert told.likely is not None
        assert told.likely.amount == (MISS * 2000 + OUT * 300) / 1_000_000
        assert told.recorded_answers == 0
        assert client.estimate(PROMPT, mode="thinking", max_tokens=50, expected_length=expected).likely == (
            client.estimate(PROMPT, mode="thinking", max_tokens=50).worst
        )
        assert client.estimate(PROMPT, max_tokens=500, expected_length=expected).likely is None
        assert asked == [(PROMPT, "thinking")] * 2 + [(PROMPT, "standard")]
        for wrong in (-1, 2.5, "many"):
            with pytest.raises(InvalidRequestError, match="expected_length"):
                client.estimate(PROMPT, expected_length=lambda *_: wrong)  # type: ignore[arg-type]  # noqa: B023

    if door == "async":
        async with AsyncClient(**settings("http://127.0.0.1:1/v1")) as client:
            check(client)
    else:
        with Client(**settings("http://127.0.0.1:1/v1")) as sync:
            check(sync)


@every_door
async def test_hits_are_predicted_and_learnt_from_usage_through_every_door(door: Door) -> None:
    """A host that holds everything it was sent in whole units: after a few calls that is what is foretold."""

    def held(request: Received) -> Answer:
        return Answer("Yes.", prompt_tokens=2000, cache_hit=1984 if request.number else 0)

    streamed = door.endswith("stream")
    async with BillServer(held) as server:
        if door.startswith("async"):
            async with AsyncClient(**settings(server)) as client:
                before = client.estimate(PROMPT, max_tokens=50).prefix
                for _ in range(8):
                    await through_async(client, PROMPT, streamed=streamed, max_tokens=50)
                after = client.estimate(PROMPT, max_tokens=50)
        else:
            with Client(**settings(server)) as sync:
                before = sync.estimate(PROMPT, max_tokens=50).prefix
                for _ in range(8):
                    through_sync(sync, PROMPT, streamed=streamed, max_tokens=50)
                after = sync.estimate(PROMPT, max_tokens=50, expected_length=lambda *_: 10)
                assert after.likely is not None
                hits = after.likely_cache_hit_tokens
                assert after.likely.amount == (HIT * hits + MISS * (2000 - hits) + OUT * 10) / 1_000_000
    assert before is not None
    assert after.prefix is not None
    assert (before.known_tokens, before.likely_hits) == (0, 0)
    assert after.prefix.known_tokens == 1984
    assert after.prefix.likely_hits == after.likely_cache_hit_tokens >= 1920
    assert after.worst.amount == (MISS * 2000 + OUT * 50) / 1_000_000


async def test_a_miss_is_explained() -> None:
    async with BillServer(Answer("Yes.")) as server, AsyncClient(**settings(server)) as client:

        def messages(moment: str) -> list[dict[str, str]]:
            system = " the" * 1022 + f" Now: 2026-11-23 {moment}. {RULES}"
            return [{"role": "system", "content": system}, {"role": "user", "content": "Is it late?"}]

        await client.chat(messages("16:01:07"), max_tokens=5)  # type: ignore[arg-type]
        told = client.estimate(messages("18:44:59"), max_tokens=5).prefix  # type: ignore[arg-type]
        assert told is not None
        assert told.known_tokens == 1024
        assert told.changed_at is not None
        assert 1024 < told.changed_at < 1040
        assert str(told).endswith(f"; the prefix changed at token {told.changed_at:,}: a date or time")
        again = client.estimate(messages("16:01:07"), max_tokens=5)
        assert again.prefix is not None
        assert again.prefix.changed_at is None
        assert str(again).endswith("prompt tokens are likely to be cached")


async def test_only_what_was_sent_is_known() -> None:
    """A refused request warms no cache; one whose answer was lost may have."""
    async with (
        BillServer([Failure(401, "no"), Drop()]) as server,
        AsyncClient(**settings(server, max_retries=0)) as client,
    ):
        with pytest.raises(AuthenticationFailed):
            await client.chat(PROMPT, max_tokens=5)
        refused = client.estimate(PROMPT, max_tokens=5).prefix
        with pytest.raises(APIError):
            await client.chat(PROMPT, max_tokens=5)
        lost = client.estimate(PROMPT, max_tokens=5).prefix
        assert refused is not None
        assert lost is not None
        assert (refused.known_tokens, lost.known_tokens) == (0, 1984)
        client.prefixes.forget()
        forgotten = client.estimate(PROMPT, max_tokens=5).prefix
        assert forgotten is not None
        assert forgotten.known_tokens == 0


async def test_an_abandoned_stream_counts_as_sent() -> None:
    slow = Answer([" the"] * 50, token_delay=0.05)
    async with BillServer(slow) as server, AsyncClient(**settings(server)) as client:
        async with client.stream(PROMPT, max_tokens=50) as stream:
            async for _ in stream:
                break
        told = client.estimate(PROMPT, max_tokens=50).prefix
        assert told is not None
        assert told.known_tokens == 1984


async def test_a_told_length_is_shared_by_two_passes() -> None:
    async with AsyncClient("http://127.0.0.1:1/v1", host="local", prices="brief") as client:
        told = client.estimate("Why?", mode="thinking", max_tokens=400, expected_length=lambda *_: 31)
        assert told.likely_completion_tokens == 31
        assert told.likely is not None
        assert told.least < told.likely < told.worst
        assert told.prefix is None


async def test_a_long_prompt_is_remembered_too() -> None:
    """Long enough to be counted apart from the event loop."""
    text = " the" * 60_000
    async with BillServer(Answer("Yes.")) as server, AsyncClient(**settings(server)) as client:
        await client.chat(text, max_tokens=5)
        told = client.estimate(text + " end", max_tokens=5).prefix
        assert told is not None
        assert told.known_tokens == 60_000 // 64 * 64
        assert told.changed_at == 60_002


async def test_of_another_tokenizer_nothing_is_foretold() -> None:
    async with BillServer() as server, AsyncClient(**settings(server, host="openai", model="gpt-x")) as client:
        for _ in range(5):
            await client.chat(PROMPT, max_tokens=50)
        told = client.estimate(PROMPT, max_tokens=50)
        assert told.prefix is None
        assert told.likely_cache_hit_tokens == 0
        assert told.recorded_answers == 5
