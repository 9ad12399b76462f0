"""Objects that grow while they arrive."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from deepthrift import AsyncClient, Client, TextDelta
from deepthrift.errors import ConfigurationError, StreamInterrupted, StructuredOutputError
from deepthrift.structured import Parsed
from deepthrift.structured._stream import _PartialObject  # pyright: ignore[reportPrivateUsage]
from deepthrift.structured._target import Target
from deepthrift_pricing import Ledger
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import booked, settings


class Poem(BaseModel):
    title: str
    verses: list[str]


TEXT = '{"title": "Sea", "verses": ["The sea is", "wide and blue"]}'
POEM = Poem(title="Sea", verses=["The sea is", "wide and blue"])
QUESTION = "Write a poem."
both_doors = pytest.mark.parametrize("door", ["async", "sync"])


async def stream(door: str, server: BillServer, **call: Any) -> tuple[list[dict[str, Any]], Parsed[Poem]]:
    partials: list[dict[str, Any]] = []
    if door == "async":
        async with (
            AsyncClient(**settings(server)) as client,
            client.stream_parse(QUESTION, into=Poem, **call) as opened,
        ):
            partials += [dict(partial) async for partial in opened]
            assert opened.value == opened.reply.value
            return partials, opened.reply

    def in_sync() -> Parsed[Poem]:
        with Client(**settings(server)) as client, client.stream_parse(QUESTION, into=Poem, **call) as opened:
            partials.extend(dict(partial) for partial in opened)
            assert opened.value == opened.reply.value
            return opened.reply

    return partials, await asyncio.to_thread(in_sync)


@both_doors
@pytest.mark.parametrize("form", ["{}", "```json\n{}\n```", "Here: {}"])
async def test_the_object_grows_and_ends_validated(door: str, form: str) -> None:
    with BillServer(Answer(form.replace("{}", TEXT), token_delay=0.005)) as server:
        partials, reply = await stream(door, server)
        assert reply.value == POEM
        assert reply.cost.amount == server.bill.total
    assert server.requests[0].stream
    assert len(partials) > 3
    assert partials[-1] == POEM.model_dump()
    assert any(partial.get("verses") == ["The sea"] for partial in partials)  # strings grow as well
    for before, after in itertools.pairwise(partials):
        assert list(before) == list(after)[: len(before)]


@both_doors
async def test_an_object_that_does_not_fit_is_a_typed_error_after_the_last_part(door: str) -> None:
    with BillServer(Answer('{"title": "Sea"}')) as server:
        with pytest.raises(StructuredOutputError, match="verses: Field required") as caught:
            await stream(door, server)
        assert caught.value.spend is not None
        assert caught.value.spend.amount == server.bill.total
    assert caught.value.partial is not None
    assert caught.value.partial.text == '{"title": "Sea"}'
    assert caught.value.request is not None
    assert len(caught.value.attempt_ids) == 1


@both_doors
@pytest.mark.parametrize(("answer", "told"), [(Answer([" "] * 9), "blank"), (Answer(TEXT), "cut off")])
async def test_r20_blank_and_cut_answers_are_typed_errors(door: str, answer: Answer, told: str) -> None:
    with BillServer(answer) as server, pytest.raises(StructuredOutputError, match=told):
        await stream(door, server, **({"max_tokens": 4} if told == "cut off" else {}))


async def test_a_broken_stream_is_the_streams_own_error() -> None:
    with BillServer(Answer(TEXT, cut_after=4)) as server, pytest.raises(StreamInterrupted):
        await stream("async", server)


async def test_leaving_early_stops_the_upstream() -> None:
    ledger = Ledger.open("memory:")
    endless = Answer(['{"title": "', *(["word "] * 500)], token_delay=0.01)
    with BillServer(endless) as server, ledger:
        async with AsyncClient(**settings(server, ledger=ledger)) as client:
            async with client.stream_parse(QUESTION, into=Poem) as opened:
                async for partial in opened:
                    if partial.get("title"):
                        break
            await server.wait_quiet()
            with pytest.raises(ConfigurationError, match="not whole"):
                _ = opened.value
        assert server.requests[0].generated < 500
        assert booked(ledger) > 0
        assert [attempt.status for attempt in ledger.attempts()] == ["settled"]


def test_long_objects_are_not_read_anew_for_every_word() -> None:
    growing = _PartialObject(Target(Poem), "http://localhost", 1)
    shown = len(list(growing.take([TextDelta('{"title": "')])))
    for _ in range(20_000):
        shown += len(list(growing.take([TextDelta("word ")])))
    assert shown < 1_000


@given(st.lists(st.text(max_size=12), max_size=4), st.integers(1, 9))
def test_whatever_the_pieces_the_last_part_is_the_object(verses: list[str], size: int) -> None:
    poem = Poem(title="a", verses=verses)
    text = poem.model_dump_json()
    growing = _PartialObject(Target(Poem), "http://localhost", 1)
    last: object = None
    for place in range(0, len(text), size):
        last = next(growing.take([TextDelta(text[place : place + size])]), last)
    assert (growing._partial(at_end=True) or last) == poem.model_dump()
