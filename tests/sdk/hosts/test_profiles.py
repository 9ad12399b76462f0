"""Hosts as data: what each profile sends, told from which URL, and how a user adds one."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from deepthrift.errors import ConfigurationError, UnsupportedFeature
from deepthrift.hosts import Dialect, HostProfile, TwoPass, switch_for
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import ask
from tools.host_fixtures import MODES, request_of


@pytest.mark.parametrize("name", HostProfile.names())
def test_each_profile_says_where_its_facts_come_from(name: str) -> None:
    profile = HostProfile.named(name)
    assert profile.title
    assert profile.source.startswith("https://")
    assert profile.checked is not None
    for mode in MODES:
        rules = profile.rules(mode)
        if rules.max_tokens_limit is not None:
            assert (rules.max_tokens_default or 0) <= rules.max_tokens_limit <= profile.context
    if name != "deepseek-v4":
        assert "tools" not in profile.thinking.features, "V3.1 calls tools in standard mode only"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.deepseek.com", "deepseek"),
        ("https://api.deepseek.com/v1", "deepseek"),
        ("https://API.DeepSeek.com/beta", "deepseek"),
        ("https://api.deepseek.com.evil.example/v1", "openai"),
        ("http://gpu-box:8000/v1", "vllm"),
        ("http://127.0.0.1:8080/v1", "llama.cpp"),
        ("https://gateway.example:8000/v1", "openai"),
        ("https://api.openai.com/v1", "openai"),
        ("http://somewhere/v1", "openai"),
    ],
)
def test_a_host_is_told_from_its_url(url: str, name: str) -> None:
    assert HostProfile.for_url(url).name == name


@pytest.mark.parametrize("dialect", [each for each in get_args(Dialect) if each not in ("none", "undocumented")])
def test_both_forms_of_every_dialect_differ(dialect: Dialect) -> None:
    on, off = switch_for(dialect, "thinking"), switch_for(dialect, "standard")
    assert on != off
    if dialect != "model_suffix":
        assert off.body or off.headers or off.model, "the off form is explicit too"


MINE = """
name = "my-gateway"
base_url = "https://llm.example/v1"
dialect = "thinking_type"
model = "deepseek-v3.1"
context = 65536
reasoning_fields = ["reasoning"]
[standard]
features = ["tools"]
[thinking]
max_tokens_limit = 32768
"""


async def test_a_user_adds_a_host_in_ten_lines(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINE, encoding="utf-8")
    profile = HostProfile.load(path)
    assert (profile.name, profile.context, profile.base_url) == ("my-gateway", 65536, "https://llm.example/v1")
    async with BillServer(Answer("Paris.", reasoning_field="reasoning"), dialect="thinking-type") as server:
        reply = await ask("async", server, mode="thinking", max_tokens=50, client={"host": profile})
        assert reply.reasoning
        assert reply.host == "my-gateway"
        with pytest.raises(UnsupportedFeature):
            await ask("async", server, mode="thinking", temperature=0.5, client={"host": profile})
    assert [request.mode_asked for request in server.requests] == ["thinking"]


async def test_a_host_without_a_thinking_mode_says_so() -> None:
    profile = HostProfile.parse('name = "plain"\ndialect = "none"')
    async with BillServer() as server:
        with pytest.raises(UnsupportedFeature, match="no thinking mode"):
            await ask("async", server, mode="thinking", client={"host": profile})
        assert not server.connections


async def test_a_switch_of_ones_own() -> None:
    profile = HostProfile.parse(
        'name = "odd"\ndialect = "none"\n'
        '[thinking.switch]\nbody = {deep = true}\nheaders = {X-Deep = "yes"}\nmodel_suffix = "-think"\n'
    )
    sent = request_of(profile, "thinking", stream=False)
    assert (sent["model"], sent["headers"], sent["body"]["deep"]) == ("some-model-think", {"x-deep": "yes"}, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = ", "not TOML"),
        ("", "name"),
        ('name = "Has Blanks"', "name"),
        ('name = "x"\ncolour = "red"', "colour"),
        ('name = "x"\ndialect = "magic"', "dialect"),
        ('name = "x"\n[thinking]\nmax_tokens_limit = 0', "max_tokens_limit"),
    ],
)
def test_a_wrong_profile_is_told(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "host.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=told) as wrong:
        HostProfile.load(path)
    assert "host.toml" in str(wrong.value)


def test_a_missing_profile_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        HostProfile.load(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match="vllm"):
        HostProfile.named("vlm")


@pytest.mark.parametrize(
    ("model", "tokenizer", "counts"),
    [
        ("deepseek-ai/DeepSeek-V3.1", "auto", True),
        ("deepseek-v3-1-250821", "auto", True),
        ("accounts/fireworks/models/deepseek-v3p1", "auto", True),
        ("deepseek-chat", "auto", True),
        ("deepseek-v3.2-exp", "auto", False),
        ("qwen3-8b", "auto", False),
        ("qwen3-8b", "v3.1", True),
        ("deepseek-chat", "bytes", False),
    ],
)
def test_whose_prompts_are_counted_here(model: str, tokenizer: str, counts: bool) -> None:
    profile = HostProfile.named("openai").model_copy(update={"tokenizer": tokenizer})
    assert profile.counts_as_v31(model) is counts


def test_placeholders_are_filled_once() -> None:
    two_pass = TwoPass(think="Think: {question}", answer="{notes} / {question} / {other}")
    assert two_pass.thinking_prompt("a {notes} b") == "Think: a {notes} b"
    assert two_pass.answer_prompt("q {notes}", "n {question}") == "n {question} / q {notes} / {other}"
