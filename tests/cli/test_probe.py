"""`deepthrift doctor --probe` against servers that read one switch, answer in their own shape, and keep a true bill."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deepthrift import AsyncClient, Client
from deepthrift.hosts import Dialect, HostProfile
from deepthrift_pricing import Ledger, Mode, PriceBook
from deepthrift_router.cli._models.probe import MODES, Probe
from deepthrift_router.cli._models.probe_profile import toml_of
from deepthrift_router.cli._models.probe_questions import LIMIT, MOST_REQUESTS
from tests.cli.conftest import Ran, Run
from tests.support.bill_server import Answer, BillServer, Failure, Received
from tests.support.dialect import Dialect as ServerDialect
from tests.support.tiny_gguf import tiny_gguf

RATES = ("--prices", "official-2025-09-05")
KEY = "sk-very-secret-key"
ANSWER = Answer("42", "17 and 25 make 42.", cache_hit=3)
SWITCHES: list[tuple[ServerDialect, Dialect, Mode]] = [
    ("template-thinking", "ctk_thinking", "standard"),
    ("template-both", "ctk_both", "thinking"),
    ("thinking-type", "thinking_type", "standard"),
    ("enable-thinking", "enable_thinking", "thinking"),
    ("reasoning-object", "reasoning_object", "standard"),
    ("effort", "effort", "thinking"),
    ("header", "header", "standard"),
    ("model-suffix", "model_suffix", "standard"),
    ("model-name", "model_name", "standard"),
]


def capable(request: Received) -> Answer | Failure:
    """An endpoint that can do everything in standard mode, and in thinking mode what the official one could."""
    body: Mapping[str, Any] = request.body
    thinking = request.mode_ran == "thinking"
    most = 65536 if thinking else 8192
    if (request.max_tokens or 0) > most:
        return Failure(400, f"Invalid max_tokens value, the valid range of max_tokens is [1, {most}]")
    if thinking and (body.get("logprobs") or body.get("tools")):
        return Failure(400, "deepseek-reasoner does not support this")
    if body.get("tools"):
        return ANSWER.but(text="", tool_calls=[("get_weather", '{"city": "Paris"}')])
    form = body.get("response_format", {}).get("type")
    if form is not None:
        return ANSWER.but(text='{"zebra_total": 2}' if form == "json_schema" else '{"zebras": 2}')
    return ANSWER.but(logprob=-0.1, reasoning_field="reasoning", usage="last-chunk")


def probed(run: Run, server: BillServer, *args: str, env: dict[str, str] | None = None) -> Ran:
    return run("doctor", "--probe", server.url, "--json", *args, env=env)


def booked(run: Run) -> Decimal:
    return sum((Decimal(row["total"]["amount"]) for row in run("spend", "--json").json["rows"]), Decimal(0))


def test_everything_that_an_endpoint_can(run: Run, tmp_path: Path) -> None:
    written = tmp_path / "host.toml"
    with BillServer(capable, dialect="thinking-type") as server:
        ran = probed(run, server, *RATES, "--write", str(written), "--model", "DeepSeek-V3.1")
        assert ran.code == 0, ran.err
        assert len(server.requests) == ran.json["requests"] <= MOST_REQUESTS
        assert Decimal(ran.json["spent"]["amount"]) == server.bill.total == booked(run)
        profile = HostProfile.load(written)
        assert ran.json["profile"] == written.read_text("utf-8")
        assert profile.dialect == "thinking_type"
        assert profile.reasoning_fields == ("reasoning",)
        assert profile.cached_tokens == "prompt_cache_hit_tokens"
        assert (profile.standard.max_tokens_limit, profile.thinking.max_tokens_limit) == (8192, 65536)
        sampled = {"seed", "temperature", "top_p"}
        structured = {"json_object", "json_schema"}
        assert profile.standard.features == {*sampled, *structured, "logprobs", "tools", "forced_tool_choice"}
        assert profile.thinking.features == {*sampled, *structured}
        asked = [request.body.get("model") for request in server.requests]
        assert set(asked) == {"DeepSeek-V3.1"}
        # The profile is one that works.
        with Client(host=profile, prices="brief") as client:
            for mode in MODES:
                reply = client.chat("What is 17 + 25?", mode=mode, max_tokens=64)
                assert (reply.mode, reply.warnings) == (mode, ())


@pytest.mark.parametrize(("served", "dialect", "default"), SWITCHES)
async def test_the_switch_is_found(served: ServerDialect, dialect: Dialect, default: Mode) -> None:
    """Whatever runs when nothing is said; no other switch is taken for it."""
    with BillServer(ANSWER, dialect=served, default_mode=default) as server:
        probe = Probe(
            server.url,
            model="deepseek-chat",
            key=None,
            prices=PriceBook.named("brief"),
            ledger=Ledger.open("memory:"),
            listed=server.models,
            progress=lambda _: None,
        )
        await probe.switch()
        profile = probe.profile()
        assert (profile.dialect, probe.found.default, probe.found.empty) == (dialect, default, None)
        async with AsyncClient(host=HostProfile.parse(toml_of(profile)), prices="brief") as client:
            modes = [(await client.chat("Hi", mode=mode, max_tokens=64)).mode for mode in MODES]
        assert modes == ["standard", "thinking"]


@pytest.mark.parametrize(("default", "dialect"), [("standard", "none"), ("thinking", "undocumented")])
def test_an_endpoint_without_a_switch(run: Run, default: Mode, dialect: Dialect) -> None:
    with BillServer(ANSWER.but(ran=default), default_mode=default) as server:
        ran = probed(run, server)
        assert ran.code == 0, ran.err
        profile = HostProfile.parse(ran.json["profile"])
        assert profile.dialect == dialect
        assert "None of the documented switches" in profile.note
        assert ran.json["spent"] is None
        assert "not known" in ran.err
        assert len(server.requests) <= MOST_REQUESTS
    assert booked(run) == 0


def test_reasoning_inside_the_text(run: Run) -> None:
    with BillServer(ANSWER.but(reasoning_field="inline", usage_shape="bare"), dialect="template-thinking") as server:
        profile = HostProfile.parse(probed(run, server).json["profile"])
    assert profile.reasoning_in_text
    assert profile.cached_tokens == "none"


def vllm(request: Received) -> Answer | Failure:
    """vLLM with its parsers: errors of its own shape, and the context in place of a limit."""
    if (request.max_tokens or 0) > 131072:
        told = "This model's maximum context length is 131072 tokens"
        return Failure(400, f"'max_tokens' is too large: {request.max_tokens}. {told}", shape="vllm")
    found = capable(request)
    return found if isinstance(found, Failure) else found.but(reasoning_field="reasoning", usage_shape="openai")


def sglang(request: Received) -> Answer | Failure:
    """SGLang with usage on every chunk, and reasoning tokens beside the others."""
    found = vllm(request)
    if isinstance(found, Failure):
        return found
    return found.but(reasoning_field="reasoning_content", usage_shape="sglang", usage="every-chunk")


@pytest.mark.parametrize(("serve", "field"), [(vllm, "reasoning"), (sglang, "reasoning_content")])
def test_a_server_as_vllm_and_one_as_sglang(run: Run, serve: Any, field: str) -> None:
    with BillServer(serve, dialect="template-thinking") as server:
        ran = probed(run, server, *RATES, "--model", "deepseek-ai/DeepSeek-V3.1")
        assert ran.code == 0, ran.err
        assert Decimal(ran.json["spent"]["amount"]) == server.bill.total
        profile = HostProfile.parse(ran.json["profile"])
        with Client(host=profile, prices="brief") as client:
            modes = [client.chat("What is 17 + 25?", mode=mode, max_tokens=64).mode for mode in MODES]
    assert modes == ["standard", "thinking"]
    assert (profile.dialect, profile.reasoning_fields) == ("ctk_thinking", (field,))
    assert (profile.context, profile.cached_tokens, profile.stream_usage) == (131072, "prompt_tokens_details", True)
    assert {"tools", "json_schema"} <= profile.standard.features
    assert "tools" not in profile.thinking.features


def test_nothing_is_sent_with_a_key_without_a_yes(run: Run, tmp_path: Path) -> None:
    env = {"DEEPTHRIFT_API_KEY": KEY}
    with BillServer(ANSWER, key=KEY, dialect="thinking-type") as server:
        ran = run("doctor", "--probe", server.url, *RATES, env=env)
        assert ran.code == 2
        assert "--yes" in ran.err
        assert "at most" in ran.err
        assert not server.requests
        ran = run("doctor", "--probe", server.url, *RATES, "--yes", env=env)
        assert ran.code == 0, ran.err
        assert "honoured on and off" in ran.out
        assert 'dialect = "thinking_type"' in ran.out
        assert server.requests
    assert KEY not in ran.out + ran.err
    there = tmp_path / "there.toml"
    there.write_text("")
    assert run("doctor", "--probe", "http://127.0.0.1:9/v1", "--write", str(there)).code == 2
    assert run("doctor", "--yes").code == 2


@pytest.mark.parametrize(("failure", "told"), [(Failure(402, "Insufficient Balance"), "402"), (Failure(401), "401")])
def test_a_refusal_that_says_nothing_about_the_switch_ends_it(run: Run, failure: Failure, told: str) -> None:
    with BillServer([ANSWER, ANSWER, failure]) as server:
        ran = probed(run, server)
        assert ran.code == 4
        assert told in ran.json["error"]["message"]
        assert len(server.requests) == 3


def test_nobody_there(run: Run) -> None:
    ran = run("doctor", "--probe", "http://127.0.0.1:9/v1")
    assert ran.code == 4
    assert "Traceback" not in ran.err


def test_a_budget_holds(run: Run) -> None:
    with BillServer(ANSWER) as server:
        assert run("budget", "set", "0.0002", "--per", "day").code == 0
        assert probed(run, server, *RATES).code == 3
        assert not server.requests


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", "range", 8192),
        ("max_tokens is too large: 1000000000. This model supports at most 16384 completion tokens", "most", 16384),
        ("max_tokens must be less than or equal to 32768", "most", 32768),
        (
            "'max_tokens' is too large: 1000000000. This model's maximum context length is 131072 tokens and your "
            "request has 12 input tokens",
            "context",
            131072,
        ),
        ("the request exceeds the available context size (4096 tokens)", "context", 4096),
        # vLLM 0.32
        ("max_tokens=1000000000 cannot be greater than max_model_len=4096. Please request fewer", "context", 4096),
        ("max_tokens has to be a sensible number, not 1000000000", "", 0),
    ],
)
def test_limits_are_read_from_refusals(text: str, kind: str, number: int) -> None:
    found = LIMIT.search(text)
    told = {} if found is None else {name: int(value) for name, value in found.groupdict().items() if value}
    assert told == ({kind: number} if kind else {})


@pytest.mark.parametrize("name", HostProfile.names())
def test_a_profile_survives_being_written(name: str) -> None:
    profile = HostProfile.named(name)
    assert HostProfile.parse(toml_of(profile)) == profile


@pytest.mark.slow
@pytest.mark.engine
async def test_the_embedded_engine(run: Run, tmp_path: Path) -> None:
    """A real server, in V3.1's architecture and with its template; the profile that comes out drives it."""
    from deepthrift.local import Engine

    written = tmp_path / "engine.toml"
    async with Engine(tiny_gguf("answer"), key="engine-key") as engine:
        env = {"DEEPTHRIFT_API_KEY": "engine-key"}
        args = ("doctor", "--probe", f"{engine.url}/v1", "--yes", "--json", "--write", str(written))
        ran = await asyncio.to_thread(run, *args, env=env)
        assert ran.code == 0, ran.err
        profile = HostProfile.load(written)
        assert profile.dialect in ("ctk_thinking", "ctk_both")
        assert profile.reasoning_fields == ("reasoning_content",)
        assert profile.cached_tokens == "prompt_tokens_details"
        assert {"logprobs", "json_schema", "seed"} <= profile.standard.features
        async with AsyncClient(host=profile, api_key="engine-key", prices="brief") as client:
            modes = [(await client.chat("Hi", mode=mode)).mode for mode in MODES]
        assert modes == ["standard", "thinking"]


def test_what_is_wrong_is_told_before_anything_is_asked_and_what_was_asked_is_shown(run: Run, tmp_path: Path) -> None:
    with BillServer(capable) as server:
        wrong = run("doctor", "--probe", server.url, "--prices", "nonsense")
        assert (wrong.code, server.requests) == (2, [])
        nowhere = tmp_path / "nowhere" / "profile.toml"
        ran = probed(run, server, *RATES, "--write", str(nowhere), "--model", "DeepSeek-V3.1")
        assert (ran.code, str(nowhere) in ran.err) == (1, True)
        assert ran.json["requests"] == len(server.requests)
        assert (ran.json["written"], "dialect" in ran.json["profile"]) == (None, True)


def test_a_profile_of_any_name_is_taken_as_host(run: Run, tmp_path: Path) -> None:
    with BillServer(Answer("4")) as server:
        profile = tmp_path / "gpu-box"
        made = HostProfile.named("vllm").model_copy(update={"name": "gpu-box", "base_url": server.url, "model": "m"})
        profile.write_text(toml_of(made))
        ran = run("ask", "--host", str(profile), "--prices", "brief", "2 + 2?")
        assert (ran.code, ran.out) == (0, "4\n"), ran.err
