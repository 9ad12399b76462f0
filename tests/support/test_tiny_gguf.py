"""The tiny V3.1 model on the real engine: its scripts, and that the engine's prompts and counts are ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from deepthrift.local import Engine
from deepthrift_pricing import Mode
from deepthrift_pricing.tokens import count_messages, count_text, render
from tests.support import tiny_gguf as tiny
from tests.support.conversations import conversations
from tests.support.tiny_gguf import Script, build_tiny_gguf, script_steps, tiny_gguf

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("tiny-v31")]

BOS = "<｜begin▁of▁sentence｜>"
ASK: list[dict[str, Any]] = [{"role": "user", "content": "How is the weather in Paris?"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": tiny.TOOL_NAME,
            "description": "Wetter für eine Stadt",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
CALL = {"id": "call00001", "type": "function", "function": {"name": tiny.TOOL_NAME, "arguments": tiny.TOOL_ARGUMENTS}}


@pytest.fixture(scope="module", params=get_args(Script))
def script(request: pytest.FixtureRequest) -> Script:
    chosen: Script = request.param
    return chosen


class Running:
    """An engine with a script, asked over HTTP."""

    def __init__(self, engine: Engine) -> None:
        self.http = httpx.Client(
            base_url=engine.url, headers={"Authorization": f"Bearer {engine.key}"}, timeout=60, trust_env=False
        )

    def post(self, path: str, messages: list[dict[str, Any]], mode: Mode, **more: Any) -> dict[str, Any]:
        switch = {"thinking": mode == "thinking", "enable_thinking": mode == "thinking"}
        body = {"messages": messages, "temperature": 0, "max_tokens": 64, "chat_template_kwargs": switch, **more}
        answer = self.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def ask(self, mode: Mode, messages: list[dict[str, Any]] = ASK, **more: Any) -> tuple[dict[str, Any], str]:
        made = self.post("/v1/chat/completions", messages, mode, **more)
        prefix = messages[-1]["role"] == "assistant"
        assert made["usage"]["prompt_tokens"] == count_messages(
            messages, mode=mode, tools=more.get("tools"), prefix=prefix
        )
        choice = made["choices"][0]
        return choice["message"], choice["finish_reason"]

    def stream(self, mode: Mode, **more: Any) -> list[dict[str, Any]]:
        switch = {"thinking": mode == "thinking", "enable_thinking": mode == "thinking"}
        body = {"messages": ASK, "temperature": 0, "stream": True, "chat_template_kwargs": switch, **more}
        lines = self.http.post("/v1/chat/completions", json=body).text.splitlines()
        chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        return [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Running]]:
    """Engines by script, started when first asked for."""
    with asyncio.Runner() as runner:
        started: list[Engine] = []

        class Engines(dict[str, Running]):
            def __missing__(self, script: Script) -> Running:
                engine = Engine(tiny_gguf(script))
                runner.run(engine.__aenter__())
                started.append(engine)
                self[script] = Running(engine)
                return self[script]

        running = Engines()
        yield running
        for one in running.values():
            one.http.close()
        for engine in started:
            runner.run(engine.aclose())


def test_each_mode_has_its_answer(engines: dict[str, Running]) -> None:
    standard, reason = engines["answer"].ask("standard")
    assert (standard["content"], standard.get("reasoning_content"), reason) == (tiny.STANDARD_ANSWER, None, "stop")
    thinking, reason = engines["answer"].ask("thinking")
    assert (thinking["content"], thinking["reasoning_content"]) == (tiny.THINKING_ANSWER, tiny.THOUGHTS)
    assert reason == "stop"


def test_streams_are_split_too(engines: dict[str, Running]) -> None:
    deltas = engines["answer"].stream("thinking")
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == tiny.THOUGHTS
    assert "".join(delta.get("content") or "" for delta in deltas) == tiny.THINKING_ANSWER


def test_an_earlier_thinking_turn_does_not_change_the_mode(engines: dict[str, Running]) -> None:
    history = [*ASK, {"role": "assistant", "content": "Fine.", "reasoning_content": tiny.THOUGHTS}, *ASK]
    message, _ = engines["answer"].ask("standard", history)
    assert message["content"] == tiny.STANDARD_ANSWER


def test_a_reasoning_budget_ends_the_thoughts(engines: dict[str, Running]) -> None:
    message, _ = engines["answer"].ask("thinking", reasoning_budget_tokens=5)
    assert tiny.THOUGHTS.startswith(message["reasoning_content"])
    assert count_text(message["reasoning_content"]) <= 6
    assert message["content"] == tiny.THINKING_ANSWER


@pytest.mark.parametrize("mode", ["standard", "thinking"])
def test_a_begun_answer_is_continued(engines: dict[str, Running], mode: Mode) -> None:
    begun, rest = ("Here is", "one short scripted answer.") if mode == "standard" else ("\nLet me", "check this")
    messages = [*ASK, {"role": "assistant", "content": begun}]
    made = engines["answer"].post("/apply-template", messages, mode)
    assert BOS + made["prompt"] == render(messages, mode=mode, prefix=True)
    message, _ = engines["answer"].ask(mode, messages)
    # The engine drops white space at the start of what it adds.
    assert (message.get("reasoning_content") or message["content"]).startswith(rest)


@pytest.mark.parametrize("mode", ["standard", "thinking"])
def test_a_tool_call_is_parsed(engines: dict[str, Running], mode: Mode) -> None:
    message, reason = engines["tool"].ask(mode, tools=TOOLS)
    (call,) = message["tool_calls"]
    assert call["function"] == CALL["function"]
    assert reason == "tool_calls"
    assert message.get("reasoning_content") == (tiny.THOUGHTS if mode == "thinking" else None)
    assert not message["content"]


def test_a_streamed_tool_call_is_parsed(engines: dict[str, Running]) -> None:
    deltas = engines["tool"].stream("standard", tools=TOOLS)
    calls = [call["function"] for delta in deltas for call in delta.get("tool_calls") or []]
    assert "".join(call.get("name", "") for call in calls) == tiny.TOOL_NAME
    assert "".join(call.get("arguments", "") for call in calls) == tiny.TOOL_ARGUMENTS


def test_a_tool_result_is_answered(engines: dict[str, Running]) -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    history = [*ASK, called, {"role": "tool", "tool_call_id": CALL["id"], "content": "sunny"}]
    message, reason = engines["tool"].ask("standard", history, tools=TOOLS)
    assert (message["content"], reason) == (tiny.TOOL_ANSWER, "stop")


@pytest.mark.slow
def test_standard_may_be_unsure_where_thinking_is_sure(engines: dict[str, Running]) -> None:
    def answers(mode: Mode) -> set[str]:
        return {engines["unsure"].ask(mode, temperature=1, seed=seed)[0]["content"] for seed in range(16)}

    assert answers("standard") == set(tiny.UNSURE_STANDARD)
    assert answers("thinking") == {tiny.UNSURE_THINKING}
    assert {engines["unsure"].ask("standard")[0]["content"] for _ in range(3)} < set(tiny.UNSURE_STANDARD)


@pytest.mark.slow
def test_noise_goes_on_until_the_limit(engines: dict[str, Running]) -> None:
    message, reason = engines["random"].ask("standard", max_tokens=32)
    assert reason == "length"
    assert message["content"]


def test_prompts_and_counts_of_the_engine_are_ours(engines: dict[str, Running]) -> None:
    compared = 0
    for made in conversations(200, seed=5, json_arguments=True):
        # The engine goes on from an assistant message at the end, and refuses two of them there.
        if made.messages[-1]["role"] == "assistant":
            continue
        given = {"tools": made.tools} if made.tools else {}
        prompt = BOS + engines["tool"].post("/apply-template", made.messages, made.mode, **given)["prompt"]
        assert prompt == render(made.messages, mode=made.mode, tools=made.tools)
        counted = engines["tool"].post("/v1/chat/completions/input_tokens", made.messages, made.mode, **given)
        expected = count_messages(made.messages, mode=made.mode, tools=made.tools, literals="control")
        assert counted["input_tokens"] == expected
        compared += 1
    assert compared > 80


def test_every_script_is_one_way(script: Script) -> None:
    steps = script_steps(script)
    assert len(steps) == len(set(steps))
    assert (len(steps) > 20) is (script != "random")


def test_a_script_in_a_circle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny, "STANDARD_ANSWER", "no, no, no, no.")
    with pytest.raises(ValueError, match="'answer' uses the tokens"):
        script_steps("answer")


@pytest.mark.slow
def test_a_model_is_the_same_however_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    built, reworded = tiny_gguf("tool"), tiny_gguf("answer")
    assert built.parent == tmp_path / "deepthrift-tests"
    assert reworded.read_bytes() == build_tiny_gguf(tmp_path / "other.gguf").read_bytes() != built.read_bytes()
    assert 20e6 < built.stat().st_size < 30e6


def test_nothing_is_left_of_a_model_that_could_not_be_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(tiny, "_add_tokenizer", full)
    with pytest.raises(OSError, match="No space left"):
        build_tiny_gguf(tmp_path / "c.gguf")
    assert list(tmp_path.iterdir()) == []
