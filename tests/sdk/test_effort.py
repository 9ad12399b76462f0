"""How deeply to think: each host's own words for it, and what is refused before anything is sent."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift import AsyncClient, HostProfile
from deepthrift._types.options import options_of
from deepthrift._wire.request.request import settled
from deepthrift.batch import BatchRow
from deepthrift.errors import ConfigurationError, InvalidRequestError, UnsupportedFeature
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import Door, ask, every_door, settings

V4 = {"host": "deepseek-v4", "model": "deepseek-v4-flash"}
OWN = """
name = "claude"
model = "claude-opus-4.7"
dialect = "none"
thinking = {switch = {body = {thinking = {type = "adaptive"}}}}

[[efforts]]
models = ["claude-*"]
levels = ["low", "high"]
always = true
field = "output_config.effort"
"""


@every_door
@pytest.mark.parametrize(
    ("host", "model", "effort", "wire"),
    [
        ("deepseek-v4", "deepseek-v4-flash", "low", {"reasoning_effort": "low", "thinking": {"type": "enabled"}}),
        ("deepseek-v4", "deepseek-v4-pro", "max", {"reasoning_effort": "max"}),
        ("deepseek-v4", "deepseek-v4-pro", "medium", {"reasoning_effort": "high"}),
        ("deepseek-v4", "deepseek-v4-pro", None, {"reasoning_effort": "high"}),
        ("together", "deepseek-ai/DeepSeek-V4-Pro", "max", {"reasoning_effort": "max", "reasoning": {"enabled": True}}),
        ("ark", "deepseek-v4-flash", "minimal", {"reasoning_effort": "minimal", "thinking": {"type": "enabled"}}),
        ("dashscope", "deepseek-v4-flash", "medium", {"reasoning_effort": "medium", "enable_thinking": True}),
        ("dashscope", "deepseek-v3.1", 2048, {"thinking_budget": 2048, "enable_thinking": True}),
        ("openrouter", "openai/gpt-oss-120b", "medium", {"reasoning_effort": "medium"}),
        ("vllm", "zai-org/GLM-5.3", "high", {"reasoning_effort": "high"}),
        ("vllm", "deepseek-ai/DeepSeek-V3.1", 300, {"thinking_token_budget": 300}),
        ("llama.cpp", "deepseek-v3.1", 300, {"reasoning_budget_tokens": 300}),
    ],
)
async def test_it_goes_out_in_the_hosts_own_words(
    door: Door, host: str, model: str, effort: str | int | None, wire: dict[str, Any]
) -> None:
    client = {"host": host, "model": model}
    async with BillServer(Answer("Yes.", reasoning=["Hm."])) as server:
        await ask(door, server, "Is it?", mode="thinking", max_tokens=500, effort=effort, client=client)
        body = server.requests[0].body
    assert {name: body.get(name) for name in wire} == wire


async def test_a_field_may_lie_inside_an_object() -> None:
    host = HostProfile.parse(OWN)
    async with BillServer(Answer("Yes.", reasoning=["Hm."])) as server:
        client = {"host": host, "model": "claude-opus-4.7"}
        extra = {"output_config": {"format": "text"}}
        await ask("async", server, "Is it?", mode="thinking", effort="low", extra_body=extra, client=client)
        body = server.requests[0].body
        assert body["output_config"] == {"effort": "low", "format": "text"}
        assert body["thinking"] == {"type": "adaptive"}
        with pytest.raises(
            UnsupportedFeature, match="thinks in every call; use mode='thinking' with an effort of 'low'"
        ):
            await ask("async", server, "Is it?", client=client)
        assert len(server.requests) == 1


@every_door
async def test_the_hosts_word_for_off_runs_standard_mode(door: Door) -> None:
    async with BillServer(Answer("Yes.")) as server:
        for mode in ("thinking", "standard"):
            reply = await ask(door, server, "Is it?", mode=mode, max_tokens=50, effort="none", client=V4)
            assert (reply.mode, reply.warnings) == ("standard", ())
        assert [request.body["thinking"] for request in server.requests] == [{"type": "disabled"}] * 2
        assert not any("reasoning_effort" in request.body for request in server.requests)


@every_door
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ({"effort": "extreme"}, UnsupportedFeature, "it has 'low', 'high', 'max', and 'none' switches thinking off"),
        ({"effort": 2048}, UnsupportedFeature, "'deepseek' has no effort 2048"),
        ({"effort": 0}, InvalidRequestError, "use mode='standard' instead"),
        ({"effort": -5}, InvalidRequestError, "use mode='standard' instead"),
        ({"effort": True}, InvalidRequestError, "not True"),
        ({"effort": 1.5}, InvalidRequestError, "not 1.5"),
        ({"effort": ""}, InvalidRequestError, "not ''"),
        ({"effort": "low", "mode": "standard"}, InvalidRequestError, "effort='low' needs mode='thinking'"),
        ({"effort": "low", "extra_body": {"reasoning_effort": "max"}}, InvalidRequestError, "reasoning_effort='max'"),
        ({"effort": "low", "extra_body": {"thinking": {"type": "disabled"}}}, InvalidRequestError, "thinking.type"),
        ({"effort": "low", "extra_body": {"output_config": {"effort": "max"}}}, InvalidRequestError, "output_config"),
        ({"effort": "low", "extra_body": {"thinking_budget": 900}}, InvalidRequestError, "thinking_budget=900"),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_is_sent(
    door: Door, call: dict[str, Any], error: type[Exception], words: str
) -> None:
    async with BillServer() as server:
        with pytest.raises(error, match=words):
            await ask(door, server, "Is it?", **{"mode": "thinking", **call}, client=V4)
        assert not server.connections


async def test_an_extra_body_that_says_the_same_is_fine() -> None:
    async with BillServer(Answer("Yes.", reasoning=["Hm."])) as server:
        extra = {"reasoning_effort": "low", "thinking": {"type": "enabled"}}
        await ask("async", server, "Is it?", mode="thinking", effort="low", extra_body=extra, client=V4)
        assert server.requests[0].body["reasoning_effort"] == "low"


async def test_the_clients_own_extra_body_may_not_contradict_either() -> None:
    async with BillServer() as server:
        client = {**V4, "extra_body": {"reasoning_effort": "max"}}
        with pytest.raises(InvalidRequestError, match="extra_body sets reasoning_effort='max'"):
            await ask("async", server, "Is it?", mode="thinking", effort="low", client=client)
        assert not server.connections


@pytest.mark.parametrize("effort", ["high", 2048])
async def test_a_host_without_depths_says_what_it_has(effort: str | int) -> None:
    async with BillServer(Answer("Yes.", reasoning=["Hm."])) as server:
        client = {"host": "sglang"}
        with pytest.raises(
            UnsupportedFeature, match="it has no levels: mode='thinking' thinks, mode='standard' doesn't"
        ):
            await ask("async", server, "Is it?", mode="thinking", effort=effort, client=client)
        assert not server.connections
        reply = await ask(
            "async", server, "Is it?", mode="thinking", effort=effort, on_unsupported="omit", client=client
        )
        assert reply.mode == "thinking"
        assert "It was left out" in reply.warnings[0]
        reply = await ask(
            "async", server, "Is it?", mode="thinking", effort=effort, on_unsupported="downgrade", client=client
        )
        assert reply.requested_mode == "thinking"
        assert server.requests[-1].body["chat_template_kwargs"]["thinking"] is False


async def test_two_limits_of_the_same_have_to_agree() -> None:
    async with BillServer(Answer("Yes.", reasoning=["Hm."])) as server:
        with pytest.raises(InvalidRequestError, match="effort=10 and reasoning_budget=20 limit the same"):
            await ask("async", server, "Is it?", mode="thinking", effort=10, reasoning_budget=20)
        assert not server.connections
        await ask("async", server, "Is it?", mode="thinking", effort=20, reasoning_budget=20)


async def test_a_completion_has_no_depth() -> None:
    async with BillServer() as server, AsyncClient(**settings(server)) as client:
        with pytest.raises(InvalidRequestError, match="effort"):
            await client.complete("Once", effort="low")
        assert not server.connections


async def test_the_rows_of_a_batch_have_their_own() -> None:
    rows = [
        BatchRow(custom_id="plain", messages="Is it?"),
        BatchRow(custom_id="deep", messages="Is it?", options={"effort": "max"}),
    ]
    async with BillServer(Answer("Yes.", reasoning=["Hm."])) as server, AsyncClient(**settings(server, **V4)) as client:
        results = await client.batch(rows, mode="standard", max_tokens=50)
        assert [result.error for result in results] == [None, None]
        bodies = sorted((request.body for request in server.requests), key=lambda body: "reasoning_effort" in body)
    assert bodies[0]["thinking"] == {"type": "disabled"}
    assert bodies[1]["reasoning_effort"] == "max"


@pytest.mark.parametrize(
    "table", ['levels = ["low"]\ndefault = "high"', 'levels = ["low"]\naliases = {mid = "medium"}']
)
def test_a_profile_names_only_levels_that_it_has(table: str) -> None:
    with pytest.raises(ConfigurationError, match="is none of the levels low"):
        HostProfile.parse(f'name = "mine"\n[[efforts]]\n{table}\n')


@given(
    host=st.sampled_from(HostProfile.names()),
    effort=st.one_of(
        st.none(), st.sampled_from(["none", "low", "medium", "high", "max", "xhigh"]), st.integers(-3, 9000)
    ),
    mode=st.sampled_from(["standard", "thinking"]),
)
def test_every_effort_is_settled_or_refused(host: str, effort: str | int | None, mode: Any) -> None:
    profile = HostProfile.named(host)
    model = profile.model or "deepseek-v3.1"
    efforts = profile.efforts_for(model)
    try:
        options, _ = settled(options_of("Is it?", mode, None, {"effort": effort}), profile, model)
    except InvalidRequestError:
        return
    if options.effort is not None:
        assert efforts is not None
        assert options.effort in efforts.levels
        assert options.mode == "thinking"


async def test_it_is_booked_and_lengths_are_kept_apart() -> None:
    answers = [Answer("Yes.", reasoning=["Hm."] * length) for length in (2, 2, 2, 2, 2, 40, 40, 40, 40, 40)]
    async with BillServer(answers) as server, AsyncClient(**settings(server, **V4)) as client:
        for effort in ["low"] * 5 + ["max"] * 5:
            reply = await client.chat("Is it?", mode="thinking", effort=effort, max_tokens=500)
            assert [attempt.effort for attempt in reply.attempts] == [effort]
        likely = {
            effort: client.estimate("Is it?", mode="thinking", effort=effort, max_tokens=500).likely_completion_tokens
            for effort in ("low", "max", "xhigh", None)
        }
    assert likely["low"] is not None
    assert likely["max"] is not None
    assert likely["low"] < likely["max"]
    assert (likely["xhigh"], likely[None]) == (None, None)


async def test_a_number_of_tokens_is_booked_as_such() -> None:
    async with BillServer(Answer("Yes.", reasoning=["Hm."])) as server, AsyncClient(**settings(server)) as client:
        for call in ({"effort": 300}, {"reasoning_budget": 300}, {}):
            await client.chat("Is it?", mode="thinking", max_tokens=500, **call)
        await client.chat("Is it?", mode="standard", max_tokens=500, reasoning_budget=300)
        efforts = Counter(attempt.effort for attempt in client.ledger.attempts())
    assert efforts == {"300": 2, None: 2}
