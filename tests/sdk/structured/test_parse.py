"""Answers as validated objects, against a server that keeps the true bill."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel, TypeAdapter

from deepthrift import AsyncClient, Client
from deepthrift.errors import (
    ConfigurationError,
    DeadlineExceeded,
    InvalidRequestError,
    ServerError,
    StructuredOutputError,
)
from deepthrift.hosts import HostProfile
from deepthrift.structured import Parsed
from deepthrift.structured._example import example_of
from deepthrift.structured._target import SchemaMismatch, Target
from deepthrift_pricing import Ledger
from tests.support.bill_server import Answer, BillServer, Failure, Received
from tests.support.doors import booked, settings
from tests.support.waiting import LIMITS

M = TypeVar("M")


class Line(BaseModel):
    what: str
    price: Decimal


class Invoice(BaseModel):
    """An invoice."""

    number: str
    lines: list[Line] = Field(default_factory=list[Line])


WHOLE = '{"number": "INV-7", "lines": [{"what": "pen", "price": "2.50"}]}'
INVOICE = Invoice(number="INV-7", lines=[Line(what="pen", price=Decimal("2.50"))])
QUESTION = "Read the invoice."
both_doors = pytest.mark.parametrize("door", ["async", "sync"])


async def parse(
    door: str,
    server: BillServer,
    into: type[M],
    messages: Any = QUESTION,
    client: dict[str, Any] | None = None,
    **call: Any,
) -> Parsed[M]:
    options = settings(server, **(client or {}))
    if door == "async":
        async with AsyncClient(**options) as opened:
            return await opened.parse_reply(messages, into=into, **call)

    def in_sync() -> Parsed[M]:
        with Client(**options) as opened:
            return opened.parse_reply(messages, into=into, **call)

    return await asyncio.to_thread(in_sync)


def asked(request: Received) -> str:
    return str(request.messages[-1]["content"])


@both_doors
@pytest.mark.parametrize("mode", ["standard", "thinking"])
async def test_an_object_comes_validated_with_its_true_cost(door: str, mode: Any) -> None:
    with BillServer(Answer(WHOLE)) as server:
        reply = await parse(door, server, Invoice, mode=mode)
        assert reply.value == INVOICE
        assert reply.cost.amount == server.bill.total
    assert (reply.mode, reply.repairs, len(reply.attempts)) == (mode, 0, 1)
    assert reply.text == WHOLE


async def test_parse_returns_the_object_itself() -> None:
    with BillServer(Answer(WHOLE)) as server:
        async with AsyncClient(**settings(server)) as client:
            assert await client.parse(QUESTION, into=Invoice) == INVOICE
        with Client(**settings(server)) as sync:
            assert sync.parse(QUESTION, into=Invoice) == INVOICE


HOSTS = [
    ("vllm", "standard", "json_schema"),
    ("vllm", "thinking", "json_schema"),
    ("deepseek", "standard", "json_object"),
    ("deepseek", "thinking", "json_object"),
]


@pytest.mark.parametrize(("host", "mode", "kind"), HOSTS)
async def test_the_best_that_the_host_has_is_asked_for(host: str, mode: Any, kind: str) -> None:
    with BillServer(Answer(WHOLE)) as server:
        await parse("async", server, Invoice, mode=mode, client={"host": host, "model": None})
    form = server.requests[0].body["response_format"]
    assert isinstance(form, dict)
    assert form["type"] == kind
    if kind == "json_schema":
        assert form["json_schema"]["name"] == "Invoice"
        assert form["json_schema"]["schema"]["required"] == ["number"]
    told = asked(server.requests[0])
    assert told.startswith(QUESTION)
    assert "json" in told
    assert '"required":["number"]' in told
    assert '{"number":"…","lines":[{"what":"…","price":1}]}' in told


@both_doors
async def test_a_server_may_take_the_schema_as_a_grammar_under_a_name_of_its_own(door: str) -> None:
    guided = HostProfile.named("vllm").model_copy(update={"schema_field": "guided_json"})
    with BillServer(Answer(WHOLE)) as server:
        await parse(door, server, Invoice, client={"host": guided})
    body = server.requests[0].body
    assert "response_format" not in body
    assert body["guided_json"]["required"] == ["number"]  # type: ignore[index, call-overload]


async def test_r21_without_a_json_mode_the_prompt_alone_has_to_do() -> None:
    bare = HostProfile(name="bare", dialect="none", tokenizer="v3.1")
    with BillServer(Answer(f"Here it is:\n{WHOLE}\nAnything else?")) as server:
        reply = await parse("async", server, Invoice, client={"host": bare})
        assert reply.value == INVOICE
    assert "response_format" not in server.requests[0].body
    assert "json" in asked(server.requests[0])


@pytest.mark.parametrize("role", ["user", "parts", "tool"])
async def test_the_rule_goes_to_the_end_of_the_conversation(role: str) -> None:
    messages: list[Any] = [{"role": "system", "content": "Be exact."}, {"role": "user", "content": QUESTION}]
    if role == "parts":
        messages[-1] = {"role": "user", "content": [{"type": "text", "text": QUESTION}]}
    if role == "tool":
        call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": "x"},
        ]
    before = json.dumps(messages)
    with BillServer(Answer(WHOLE)) as server:
        assert (await parse("async", server, Invoice, messages)).value == INVOICE
    sent = server.requests[0].messages
    assert json.dumps(messages) == before
    assert sent[0] == messages[0]
    assert sent[-1]["role"] == "user"
    assert "json" in asked(server.requests[0])
    assert len(sent) == len(messages) + (role == "tool")


@both_doors
async def test_what_does_not_fit_is_shown_and_mended(door: str) -> None:
    ledger = Ledger.open("memory:")
    wrong = '{"number": 7, "lines": [{"what": "pen"}]}'
    with BillServer([Answer(wrong), Answer(f"```json\n{WHOLE}\n```")]) as server, ledger:
        reply = await parse(door, server, Invoice, client={"ledger": ledger})
        assert reply.value == INVOICE
        assert reply.cost.amount == server.bill.total == booked(ledger)
    assert [attempt.purpose for attempt in reply.attempts] == ["answer", "repair"]
    assert {attempt.group_id for attempt in reply.attempts} == {reply.group_id}
    assert reply.repairs == 1
    first, second = server.requests
    assert second.messages[: len(first.messages)] == first.messages
    assert second.messages[-2] == {"role": "assistant", "content": wrong}
    assert "number: " in asked(second)
    assert "lines.0.price: Field required" in asked(second)


@both_doors
async def test_repairs_are_bounded_and_the_error_has_their_cost(door: str) -> None:
    ledger = Ledger.open("memory:")
    with BillServer(Answer('{"nummer": 1}')) as server, ledger:
        with pytest.raises(StructuredOutputError, match=r"number: Field required \(after 2 repairs\)") as caught:
            await parse(door, server, Invoice, max_repairs=2, client={"ledger": ledger})
        assert len(server.requests) == 3
        assert caught.value.spend is not None
        assert caught.value.spend.amount == server.bill.total == booked(ledger)
    partial = caught.value.partial
    assert partial is not None
    assert partial.text == '{"nummer": 1}'
    assert partial.cost.total == caught.value.spend
    assert caught.value.attempt_ids == tuple(attempt.id for attempt in partial.attempts)
    assert caught.value.request is not None
    assert caught.value.request.host == "vllm"


async def test_no_repairs_if_none_are_wanted() -> None:
    with BillServer(Answer("{}")) as server:
        with pytest.raises(StructuredOutputError):
            await parse("async", server, Invoice, max_repairs=0)
        assert len(server.requests) == 1


@both_doors
@pytest.mark.parametrize("finish", ["stop", "length"])
async def test_r20_blanks_are_asked_again_with_another_prompt(door: str, finish: str) -> None:
    with BillServer([Answer([" \n"] * 5, finish_reason=finish), Answer(WHOLE)]) as server:
        assert (await parse(door, server, Invoice)).value == INVOICE
        first, second = server.requests
        assert asked(second) != asked(first)
        assert [message["role"] for message in second.messages] == ["user"]


@both_doors
async def test_r20_blanks_to_the_end_are_a_typed_error(door: str) -> None:
    with BillServer(Answer([" "] * 5)) as server:
        with pytest.raises(StructuredOutputError, match="blank") as caught:
            await parse(door, server, Invoice)
        assert caught.value.spend is not None
        assert caught.value.spend.amount == server.bill.total > 0


@both_doors
async def test_json_that_was_cut_off_is_not_paid_for_twice(door: str) -> None:
    with BillServer(Answer(WHOLE)) as server:
        with pytest.raises(
            StructuredOutputError, match="cut off after 8 completion tokens; raise max_tokens"
        ) as caught:
            await parse(door, server, Invoice, max_tokens=8)
        assert len(server.requests) == 1
        assert caught.value.spend is not None
        assert caught.value.spend.amount == server.bill.total
    assert caught.value.partial is not None
    assert WHOLE.startswith(caught.value.partial.text)


async def test_thinking_that_leaves_no_room_for_the_answer_is_not_paid_for_twice() -> None:
    with BillServer(Answer(WHOLE, reasoning="a b c d e f")) as server:
        with pytest.raises(StructuredOutputError, match="cut off"):
            await parse("async", server, Invoice, mode="thinking", max_tokens=4)
        assert len(server.requests) == 1


async def test_an_object_that_is_whole_stands_whatever_follows() -> None:
    with BillServer(Answer([WHOLE, " \n", " \n"], finish_reason="length")) as server:
        assert (await parse("async", server, Invoice)).value == INVOICE


async def test_what_was_withheld_is_not_asked_again() -> None:
    with BillServer(Answer("", finish_reason="content_filter")) as server:
        with pytest.raises(StructuredOutputError, match="withheld"):
            await parse("async", server, Invoice)
        assert len(server.requests) == 1


@both_doors
async def test_a_failed_repair_tells_what_both_calls_cost(door: str) -> None:
    ledger = Ledger.open("memory:")
    with BillServer([Answer("{}"), Failure(500)]) as server, ledger:
        with pytest.raises(ServerError) as caught:
            await parse(door, server, Invoice, client={"ledger": ledger, "max_retries": 0})
        assert caught.value.spend is not None
        assert caught.value.spend.amount == booked(ledger)
        assert set(caught.value.attempt_ids) == {attempt.id for attempt in ledger.attempts()}
    assert len(caught.value.attempt_ids) == 2


async def test_the_deadline_covers_repairs() -> None:
    for limit in LIMITS:
        with BillServer([Answer("{}"), Answer(WHOLE, delay=600)]) as server, pytest.raises(DeadlineExceeded) as caught:
            await parse("async", server, Invoice, deadline=limit)
        if len(server.requests) == 2:
            break  # else the machine was too busy to get that far within the limit
    assert len(caught.value.attempt_ids) == 2


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Shape:
    """Dataclasses work as well."""

    kind: Literal["circle", "square"]
    colour: Colour
    when: date


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Told(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"answer": 42}]})
    answer: int


async def test_dataclasses_and_recursive_types() -> None:
    with BillServer(
        [Answer('{"kind": "circle", "colour": "red", "when": "2025-08-21"}'), Answer('{"name": "a"}')]
    ) as server:
        async with AsyncClient(**settings(server)) as client:
            assert await client.parse(QUESTION, into=Shape) == Shape("circle", Colour.RED, date(2025, 8, 21))
            assert await client.parse(QUESTION, into=Tree) == Tree(name="a")
        assert '"kind":"circle","colour":"red","when":"2025-08-21"' in asked(server.requests[0])


def test_examples_fit_their_own_schema() -> None:
    for into in (Invoice, Shape, Tree, Told):
        example = example_of(Target(into).schema)
        TypeAdapter[object](into).validate_json(json.dumps(example))
    assert example_of(Target(Told).schema) == {"answer": 42}


class Opaque: ...


class Numbers(RootModel[list[int]]): ...


WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (Opaque, {}, "cannot be asked for"),
    (int, {}, "no JSON object"),
    (Numbers, {}, "no JSON object"),
    (Invoice, {"max_repairs": -1}, "max_repairs"),
    (Invoice, {"mode": "deep"}, "not a mode"),
    (Invoice, {"messages": []}, "no messages"),
    (Invoice, {"messages": [7]}, "messages"),
    (Invoice, {"messages": 7}, "messages"),
    (Invoice, {"messages": [{"role": "user"}]}, "no content"),
]


@pytest.mark.parametrize(("into", "options", "told"), WRONG)
async def test_what_cannot_be_meant_is_refused_before_sending(into: Any, options: dict[str, Any], told: str) -> None:
    with BillServer(Answer(WHOLE)) as server:
        with pytest.raises((InvalidRequestError, ConfigurationError), match=told):
            await parse("async", server, into, **options)
        assert not server.requests


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        f"\ufeff {WHOLE}\n",
        f"```json\n{WHOLE}\n```",
        f"```\n{WHOLE}",
        f"Sure! ```JSON\n{WHOLE}\n``` Done.",
        f"The invoice is {WHOLE}.",
    ],
)
def test_what_stands_around_the_object_does_no_harm(text: str) -> None:
    assert Target(Invoice).read(text) == INVOICE


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "blank"), ("[1]", "no object"), ("No.", "not JSON"), (WHOLE[:-3], "not JSON"), ("{" * 9000, "not JSON")],
)
def test_what_is_no_object_says_why(text: str, told: str) -> None:
    with pytest.raises(SchemaMismatch, match=told):
        Target(Invoice).read(text)


@given(st.text(alphabet='{}[]"`:,\n njso1\\', max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    with contextlib.suppress(SchemaMismatch):
        assert isinstance(Target(Told).read(text), Told)


@given(
    st.builds(Tree, name=st.text(max_size=9), children=st.lists(st.builds(Tree, name=st.text(max_size=9)), max_size=3))
)
def test_every_object_is_read_back(tree: Tree) -> None:
    assert Target(Tree).read(tree.model_dump_json()) == tree
