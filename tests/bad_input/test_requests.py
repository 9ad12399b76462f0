"""A wrong request is refused before anything is sent or booked, through every door."""

from __future__ import annotations

import math
from typing import Any

import pytest

from deepthrift import AsyncClient, Client
from deepthrift.errors import ContextLengthExceeded, InvalidRequestError
from deepthrift_pricing import Ledger
from tests.support.bill_server import BillServer
from tests.support.doors import Door, ask, every_door, settings

MESSAGES: dict[str, Any] = {
    "empty text": "",
    "blank text": " \n\t",
    "no messages": [],
    "nothing": None,
    "a number": 7,
    "bytes": b"Hello?",
    "one message without its list": {"role": "user", "content": "Hello?"},
    "text in a list": ["Hello?"],
    "no role": [{"content": "Hello?"}],
    "an unknown role": [{"role": "robot", "content": "Hello?"}],
    "no content": [{"role": "user"}],
    "content that is a number": [{"role": "user", "content": 7}],
    "content that is nothing": [{"role": "user", "content": None}],
    "an image": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}],
    "a tool result for no call": [{"role": "tool", "content": "7"}],
    "half a surrogate pair": "\ud83d",
}
OPTIONS: dict[str, tuple[str, Any]] = {
    "unknown mode": ("mode", "fast"),
    "mode in capitals": ("mode", "THINKING"),
    "no mode": ("mode", None),
    "negative max_tokens": ("max_tokens", -1),
    "max_tokens of zero": ("max_tokens", 0),
    "max_tokens with a fraction": ("max_tokens", 1.5),
    "max_tokens as text": ("max_tokens", "10"),
    "max_tokens as a truth value": ("max_tokens", True),
    "negative temperature": ("temperature", -0.1),
    "temperature above two": ("temperature", 2.1),
    "temperature that is no number": ("temperature", math.nan),
    "top_p above one": ("top_p", 1.1),
    "seventeen stops": ("stop", ["x"] * 17),
    "an empty stop": ("stop", ""),
    "twenty-one top_logprobs": ("top_logprobs", 21),
    "timeout of zero": ("timeout", 0),
    "negative timeout": ("timeout", -1),
    "timeout that is no number": ("timeout", math.nan),
    "negative deadline": ("deadline", -1),
    "tags that are not text": ("tags", {"team": 7}),
    "tools without a function": ("tools", [{"type": "function"}]),
    "tools that are not a list": ("tools", "lookup"),
    "a misspelt option": ("max_token", 10),
    "an unknown purpose": ("purpose", "fun"),
}


async def _refused(door: Door, kind: type[Exception], messages: Any, call: dict[str, Any]) -> Exception:
    ledger = Ledger.open("memory:")
    async with BillServer() as server:
        with pytest.raises(kind) as refused:
            await ask(door, server, messages, client={"ledger": ledger}, **call)
        assert not server.connections
    assert not ledger.attempts()
    assert str(refused.value).strip()
    ledger.close()
    return refused.value


@every_door
@pytest.mark.parametrize("case", MESSAGES)
async def test_messages_that_cannot_be_sent(door: Door, case: str) -> None:
    await _refused(door, InvalidRequestError, MESSAGES[case], {"max_tokens": 50})


@every_door
@pytest.mark.parametrize("case", OPTIONS)
async def test_options_that_cannot_be(door: Door, case: str) -> None:
    name, value = OPTIONS[case]
    error = await _refused(door, InvalidRequestError, "Hello?", {"max_tokens": 50, name: value})
    assert name in str(error), "the message names the option"


@every_door
@pytest.mark.parametrize("mode", ["standard", "thinking"])
async def test_a_prompt_longer_than_the_context(door: Door, mode: str) -> None:
    error = await _refused(door, ContextLengthExceeded, " the" * 200_000, {"mode": mode, "max_tokens": 50})
    assert "200" in str(error), "the message says how long the prompt is"


@every_door
async def test_a_prompt_that_leaves_no_room_for_max_tokens(door: Door) -> None:
    await _refused(door, ContextLengthExceeded, " the" * 130_000, {"max_tokens": 50_000})


async def test_estimates_refuse_the_same() -> None:
    async with BillServer() as server, AsyncClient(**settings(server)) as client:
        with pytest.raises(InvalidRequestError):
            client.estimate("", mode="standard", max_tokens=50)
        with pytest.raises(InvalidRequestError):
            client.estimate("Hello?", mode="fast", max_tokens=50)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequestError):
            client.estimate("Hello?", mode="standard", max_tokens=-1)
        with pytest.raises(ContextLengthExceeded):
            client.estimate(" the" * 200_000, mode="standard", max_tokens=50)
        assert not server.connections


def test_the_synchronous_estimate_refuses_the_same() -> None:
    with BillServer() as server, Client(**settings(server)) as client:
        with pytest.raises(InvalidRequestError):
            client.estimate("", mode="standard", max_tokens=50)
        with pytest.raises(ContextLengthExceeded):
            client.estimate(" the" * 200_000, mode="standard", max_tokens=50)
        assert not server.connections


@every_door
async def test_the_client_still_serves_after_a_wrong_request(door: Door) -> None:
    async with BillServer() as server:
        with pytest.raises(InvalidRequestError):
            await ask(door, server, "", max_tokens=50)
        reply = await ask(door, server, "Hello?", max_tokens=50)
        assert reply.text == "Paris."
