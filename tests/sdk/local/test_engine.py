"""The embedded engine on the tiny V3.1-architecture model: what it answers, to whom, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from deepthrift.errors import ConfigurationError, EngineStartFailed, ModelFileError, UnsupportedMachine
from deepthrift.local import Engine, EngineProgress, Family
from deepthrift.local._process.start import processors
from deepthrift_pricing.tokens import count_messages
from tests.support.tiny_gguf import STANDARD_ANSWER, THINKING_ANSWER, THOUGHTS, tiny_gguf

pytestmark = pytest.mark.engine

QUESTION: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]


def body(messages: list[Any] = QUESTION, *, thinking: bool = False, **more: Any) -> dict[str, Any]:
    switch = {"thinking": thinking, "enable_thinking": thinking}
    return {"messages": messages, "temperature": 0, "max_tokens": 100, "chat_template_kwargs": switch, **more}


def client(engine: Engine, key: str | None = None) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key or engine.key}"}
    return httpx.AsyncClient(base_url=engine.url, headers=headers, timeout=60, trust_env=False)


async def ask(engine: Engine, **options: Any) -> dict[str, Any]:
    async with client(engine) as http:
        answer = await http.post("/v1/chat/completions", json=body(**options))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def counted(engine: Engine, options: dict[str, Any]) -> int:
    """Prompt tokens by the engine's own count, which runs nothing."""
    async with client(engine) as http:
        at_once = await http.post("/v1/chat/completions/input_tokens", json=options)
        prompt = (await http.post("/apply-template", json=options)).json()["prompt"]
        asked = {"content": prompt, "add_special": True, "parse_special": True}
        in_steps = await http.post("/tokenize", json=asked)
    assert at_once.json()["input_tokens"] == len(in_steps.json()["tokens"])
    return at_once.json()["input_tokens"]


async def test_both_modes_answer(engine: Engine) -> None:
    standard = await ask(engine)
    assert standard["choices"][0]["message"]["content"] == STANDARD_ANSWER
    assert "reasoning_content" not in standard["choices"][0]["message"]
    thinking = await ask(engine, thinking=True)
    assert thinking["choices"][0]["message"]["content"] == THINKING_ANSWER
    assert thinking["choices"][0]["message"]["reasoning_content"] == THOUGHTS


async def test_it_describes_itself(engine: Engine, tiny: Path) -> None:
    assert engine.family is Family.DEEPSEEK_V31
    assert engine.model == tiny.stem
    assert engine.header.architecture == "deepseek2"
    assert (engine.slots, engine.context) == (2, 2048)
    assert engine.profile.base_url == f"{engine.url}/v1"
    assert (engine.profile.model, engine.profile.context) == (tiny.stem, 2048)
    assert (await ask(engine))["model"] == tiny.stem
    async with client(engine) as http:
        slots = (await http.get("/slots")).json()
    assert [slot["n_ctx"] for slot in slots] == [2048, 2048]
    assert await engine.crash(within=0) is None


async def test_its_counts_are_the_billed_ones_and_ours(engine: Engine) -> None:
    longer = [
        {"role": "system", "content": "Be brief. 简短。"},
        *QUESTION,
        {"role": "assistant", "content": "Paris."},
        {"role": "user", "content": "👍🏽 and\n\n  of   Norway?"},
    ]
    for messages in (QUESTION, longer):
        for mode in ("standard", "thinking"):
            options = body(messages, thinking=mode == "thinking")
            billed = (await ask(engine, messages=messages, thinking=mode == "thinking"))["usage"]["prompt_tokens"]
            assert await counted(engine, options) == billed == count_messages(messages, mode=mode)


async def test_a_request_that_is_too_long_is_counted_all_the_same(engine: Engine) -> None:
    long = body([{"role": "user", "content": "word " * 5000}])
    assert await counted(engine, long) > engine.context
    async with client(engine) as http:
        refused = await http.post("/v1/chat/completions", json=long)
    assert refused.status_code == 400
    assert refused.json()["error"]["type"] == "exceed_context_size_error"


async def test_the_key_is_required_and_nobody_sees_it(engine: Engine) -> None:
    async with client(engine, "wrong") as stranger:
        for path in ("/v1/chat/completions", "/tokenize", "/apply-template"):
            assert (await stranger.post(path, json=body())).status_code == 401
        for path in ("/v1/models", "/slots", "/props"):
            assert (await stranger.get(path)).status_code == 401
    assert len(engine.key) >= 32
    assert engine.key not in repr(engine) + str(vars(engine.profile)) + engine.log_tail()
    process = Path(f"/proc/{engine.pid}")
    if process.exists():
        for part in ("cmdline", "environ"):
            assert engine.key.encode() not in (process / part).read_bytes()


async def test_web_pages_are_not_let_in(engine: Engine) -> None:
    async with client(engine) as http:
        answer = await http.get("/health", headers={"Origin": "https://evil.example"})
        before = await http.options("/v1/chat/completions", headers={"Origin": "https://evil.example"})
        page = await http.get("/")
    assert not answer.headers.get("access-control-allow-origin")
    assert not before.headers.get("access-control-allow-origin")
    assert page.status_code in (401, 404)


async def test_it_listens_on_this_machine_only(engine: Engine) -> None:
    assert engine.url.startswith("http://127.0.0.1:")
    port = int(engine.url.rsplit(":", 1)[1])
    with socket.socket() as other:
        other.settimeout(2)
        with pytest.raises(OSError, match=r".*"):
            other.connect(("127.0.0.2", port))


async def test_slots_answer_side_by_side(engine: Engine) -> None:
    answers = await asyncio.gather(*(ask(engine, thinking=bool(number % 2)) for number in range(6)))
    contents = [answer["choices"][0]["message"]["content"] for answer in answers]
    assert contents == [STANDARD_ANSWER, THINKING_ANSWER] * 3


@pytest.mark.slow
async def test_two_engines_at_once(engine: Engine) -> None:
    async with Engine(tiny_gguf("unsure")) as other:
        assert other.url != engine.url
        assert other.key != engine.key
        async with client(other, engine.key) as http:
            assert (await http.post("/v1/chat/completions", json=body())).status_code == 401
        assert (await ask(engine))["choices"][0]["message"]["content"] == STANDARD_ANSWER
        assert (await ask(other))["choices"][0]["message"]["content"].startswith("The answer is 4")


@pytest.mark.slow
async def test_progress_log_port_key_and_a_second_start(
    tiny: Path, tmp_path: Path, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[EngineProgress] = []
    lines: list[str] = []
    monkeypatch.setenv("MY_KEY", "a-key-of-mine")  # as a caller may have got it; the child does not
    path = tmp_path / "a model, größer 模.gguf"
    path.symlink_to(tiny)
    engine = Engine(path, port=unused_port, key="a-key-of-mine", on_progress=seen.append, log=lines.append)
    assert repr(engine) == f"Engine(model={str(path)!r}, not running)"
    for _ in range(2):
        async with engine:
            assert engine.url == f"http://127.0.0.1:{unused_port}"
            assert engine.key == "a-key-of-mine"
            if (environment := Path(f"/proc/{engine.pid}/environ")).exists():
                assert b"a-key-of-mine" not in environment.read_bytes()
            async with client(engine) as http:
                await http.post("/v1/chat/completions", json=body(grammar="root ::= undefined"))
            assert await ask(engine)
            with pytest.raises(ConfigurationError, match="running already"):
                await engine.__aenter__()
        assert engine.pid is None
        await engine.aclose()
    stages = [progress.stage for progress in seen]
    assert stages[0] == "checking"
    assert "loading" in stages
    assert seen[-1].stage == "ready"
    assert seen[-1].done == seen[-1].total == tiny.stat().st_size
    assert all(0 <= progress.done <= progress.total for progress in seen)
    assert any("undefined" in line for line in lines)
    assert not any("a-key-of-mine" in line or "France" in line for line in lines)


async def test_bad_requests_leave_no_prompt_in_the_log(engine: Engine) -> None:
    secret = "the quick brown secret"
    bodies = [
        f'{{"messages": [{{"role": "user", "content": "{secret}',
        json.dumps({"messages": [{"role": "usher", "content": secret}]}),
        json.dumps({"messages": [{"role": "user", "content": [{"type": "text", "words": secret}]}]}),
        json.dumps(body([{"role": "user", "content": secret}], grammar="root ::= undefined")),
        json.dumps(body([{"role": "user", "content": secret}], max_tokens=-7, n=3, tools=[{"type": secret}])),
        json.dumps(body([{"role": "user", "content": f"{secret} " * 2000}])),
    ]
    async with client(engine) as http:
        for raw in bodies:
            answer = await http.post("/v1/chat/completions", content=raw)
            assert answer.status_code in (200, 400, 500)
    assert secret not in engine.log_tail()


async def test_a_template_of_ones_own(tiny: Path) -> None:
    async with (
        Engine(tiny, template="{{ bos_token }}{{ messages[0]['content'] | upper }}") as engine,
        client(engine) as http,
    ):
        shown = await http.post("/apply-template", json=body())
    assert shown.json()["prompt"].endswith("WHAT IS THE CAPITAL OF FRANCE?")


async def test_a_port_in_use_is_told(tiny: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EngineStartFailed, match=f"Port {port} .*choose another"):
            async with Engine(tiny, port=port):
                pass


async def test_a_model_that_cannot_be_loaded_is_told_with_the_log(tiny: Path, tmp_path: Path) -> None:
    """Well-formed, and of an architecture that no engine knows."""
    raw = tiny.read_bytes()
    odd = tmp_path / "odd.gguf"
    odd.write_bytes(raw.replace(b"deepseek2", b"deepseek0"))
    with pytest.raises(EngineStartFailed, match=r"(?s)could not load the model.*log:.*unknown model architecture"):
        async with Engine(odd):
            pass


async def test_a_port_taken_meanwhile_is_told(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepthrift.local._engine.settings.check_port", lambda *_: None)
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(EngineStartFailed, match="took the engine's port"),
    ):
        async with Engine(tiny, port=taken.getsockname()[1]):
            pass


async def test_an_engine_of_another_version_is_told(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xllamacpp.py").write_text("class CommonParams:\n    __slots__ = ()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UnsupportedMachine, match="does not take the settings"):
        async with Engine(tiny):
            pass


async def test_a_start_that_takes_too_long_is_told(tiny: Path) -> None:
    with pytest.raises(EngineStartFailed, match="not ready after 0 seconds"):
        async with Engine(tiny, start_timeout=0.001):
            pass


@pytest.mark.parametrize(
    "options",
    [
        {"context": 1},
        {"slots": 0},
        {"threads": 0},
        {"port": -1},
        {"port": 70000},
        {"key": "short"},
        {"key": "with a blank"},
        {"key": "commas,separate"},
        {"key": "ключ-не-ascii"},
    ],
)
def test_wrong_settings_are_told_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Engine("model.gguf", **options)


async def test_more_context_than_the_model_has_is_told(tiny: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"more than the 163,840 tokens"):
        async with Engine(tiny, context=200_000):
            pass


async def test_bad_files_are_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<html>404</html>")
    for name, message in (("none.gguf", "no model file"), ("page.gguf", "web page")):
        with pytest.raises(ModelFileError, match=message):
            async with Engine(tmp_path / name):
                pass
    with pytest.raises(ModelFileError, match=r"no model named 'gpt-5'.*'smollm2-135m'"):
        async with Engine("gpt-5"):
            pass
    with pytest.raises(ModelFileError, match="deepthrift models pull smollm2-135m"):
        async with Engine(download=False):
            pass


async def test_what_needs_a_running_engine_says_so(tiny: Path) -> None:
    engine = Engine(tiny)
    for name in ("url", "key", "model", "profile", "context", "header", "family"):
        with pytest.raises(ConfigurationError, match="async with"):
            getattr(engine, name)
    with pytest.raises(ConfigurationError, match="async with"):
        await engine.wait()
    assert engine.pid is None
    assert engine.log_tail() == ""


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


async def test_streams_end_and_carry_usage(engine: Engine) -> None:
    chunks: list[dict[str, Any]] = []
    options = body(thinking=True, stream=True, stream_options={"include_usage": True})
    async with client(engine) as http, http.stream("POST", "/v1/chat/completions", json=options) as answer:
        lines = [line async for line in answer.aiter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == THOUGHTS
    assert "".join(delta.get("content") or "" for delta in deltas) == THINKING_ANSWER
    assert chunks[-1]["usage"]["prompt_tokens"] == count_messages(QUESTION, mode="thinking")


def test_processors_are_not_all_taken() -> None:
    assert Engine("m.gguf")._settings.threads == max(1, processors() - 1)
    assert Engine("m.gguf", threads=3)._settings.threads == 3


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "1600000 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
    ],
)
def test_a_containers_share_of_the_processors_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert processors(tmp_path) == expected
