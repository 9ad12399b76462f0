"""A budget of reasoning: sent where the host can, refused where it cannot, nothing to limit in standard mode."""

from __future__ import annotations

from typing import Any

import pytest

from deepthrift import HostProfile
from deepthrift.errors import InvalidRequestError, UnsupportedFeature
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import Door, ask, every_door


@every_door
@pytest.mark.parametrize(
    ("host", "field"),
    [
        ("llama.cpp", "reasoning_budget_tokens"),
        ("siliconflow", "thinking_budget"),
        ("dashscope", "thinking_budget"),
        ("vllm", "thinking_token_budget"),
    ],
)
async def test_it_is_sent_in_the_hosts_own_field(door: Door, host: str, field: str) -> None:
    async with BillServer(Answer("Yes.", reasoning=["Hm."])) as server:
        client = {"host": host}
        await ask(door, server, "Is it?", mode="thinking", max_tokens=50, reasoning_budget=300, client=client)
        await ask(door, server, "Is it?", mode="standard", max_tokens=50, reasoning_budget=300, client=client)
        thinking, standard = (request.body for request in server.requests)
    assert thinking[field] == 300
    assert field not in standard


async def test_it_limits_the_first_of_two_passes() -> None:
    host = HostProfile.named("local").model_copy(update={"tokenizer": "bytes"})
    async with BillServer(Answer("Yes.")) as server:
        await ask("async", server, "Is it?", mode="thinking", reasoning_budget=20, client={"host": host})
        first, second = (request.body["max_tokens"] for request in server.requests)
    assert (first, second) == (20, 512)


@every_door
@pytest.mark.parametrize("mode", ["standard", "thinking"])
async def test_other_hosts_refuse_it_before_anything_is_sent(door: Door, mode: str) -> None:
    async with BillServer() as server:
        with pytest.raises(UnsupportedFeature, match="'sglang' cannot limit the tokens of reasoning"):
            await ask(door, server, "Is it?", mode=mode, reasoning_budget=300, client={"host": "sglang"})
        assert not server.connections


@pytest.mark.parametrize("budget", [-1, 1.5, True])
async def test_a_budget_is_a_whole_number(budget: Any) -> None:
    async with BillServer() as server:
        with pytest.raises(InvalidRequestError, match="reasoning_budget"):
            await ask("async", server, "Is it?", reasoning_budget=budget, client={"host": "llama.cpp"})
