"""Try the client against servers that others wrote, each in an environment of its own, all on loopback.

    python -m tools.foreign_servers [--write] [--only NAME …]

- the embedded engine: llama.cpp's own server, as `deepthrift[local]` runs it;
- LiteLLM's proxy (from pip), in front of that engine;
- Portkey's gateway (from npm, needs Node 18), in front of it;
- mock-llm (from npm), which answers by rules.

The model behind them is the tests' tiny one in V3.1's real architecture, whose answers are known word by word. The
environments, `tools/.venv-foreign-*`, are made at the first run and take some minutes. `--write` puts the table into
docs/servers-tested.md. The exit code is 1 if a check went wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from deepthrift import HostProfile
from deepthrift.local import Engine
from tests.support.tiny_gguf import STANDARD_ANSWER, THINKING_ANSWER, TOOL_ANSWER, tiny_gguf
from tools.foreign_checks import CHECKS, Place, run

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "servers-tested.md"
KEY: Final = "sk-foreign-servers"
LITELLM: Final = "1.106.2"
PORTKEY: Final = "1.15.2"
MOCK: Final = "0.1.29"
SCRIPTS: Final = ("answer", "tool", "random")
SAYS: Final = {"standard": STANDARD_ANSWER, "thinking": THINKING_ANSWER}
QUIET: Final = {"NO_PROXY": "*", "DO_NOT_TRACK": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "CRITICAL"}
STREAMED: Final = (
    "standard, streamed",
    "thinking, streamed",
    "tools, streamed",
    "16 calls at once",
    "a stream that is left",
)
"""The checks that need streams."""
START: Final = 180.0
"""Seconds that a server may take to come up."""


# Environments


def pip_environment(name: str, requirement: str) -> Path:
    """A virtual environment with `requirement`; its folder of programs."""
    folder = ROOT / "tools" / f".venv-foreign-{name}"
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    if _stale(folder, requirement):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        command = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-qq", requirement]
        subprocess.run(command, check=True)
        (folder / ".made-of").write_text(requirement)
    return programs


def npm_environment(name: str, package: str) -> Path:
    """A folder with an npm package; its `node_modules`."""
    folder = ROOT / "tools" / f".venv-foreign-{name}"
    if _stale(folder, package):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "package.json").write_text("{}")
        quiet = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(["npm", "install", *quiet, package], cwd=folder, check=True)
        (folder / ".made-of").write_text(package)
    return folder / "node_modules"


def _stale(folder: Path, wanted: str) -> bool:
    made = folder / ".made-of"
    if made.exists() and made.read_text() == wanted:
        return False
    print(f"making {folder.relative_to(ROOT)} with {wanted}", file=sys.stderr)
    return True


# Servers


@asynccontextmanager
async def process(
    command: Sequence[str], ready: str, folder: Path, *, seconds: float = START, **variables: str
) -> AsyncIterator[None]:
    """A server, until the block ends; it is up when `ready` answers, which may take so many seconds."""
    log = (folder / "log.txt").open("wb")
    child = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env={**os.environ, **QUIET, **variables}, stdout=log, stderr=subprocess.STDOUT
    )
    try:
        end = time.monotonic() + seconds
        while not await asyncio.to_thread(_answers, ready):
            if child.returncode is not None or time.monotonic() > end:
                raise RuntimeError(f"{command[0]} did not come up:\n{(folder / 'log.txt').read_text()[-2000:]}")
            await asyncio.sleep(0.3)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            child.terminate()
            await asyncio.wait_for(child.wait(), 20)
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        log.close()


def _answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError), direct.open(url, timeout=5) as answer:
        return bool(answer.status < 500)
    return False


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


Engines = Mapping[str, Engine]


@asynccontextmanager
async def embedded(engines: Engines, folder: Path) -> AsyncIterator[Place]:
    """llama.cpp itself."""

    def settings(script: str) -> Mapping[str, Any]:
        return {"base_url": f"{engines[script].url}/v1", "model": engines[script].model, "api_key": KEY}

    llama = HostProfile.named("llama.cpp").model_copy(update={"context": 4096})
    lacks = {"a wrong model": "serves its one model under any name"}
    yield Place(f"llama.cpp (xllamacpp {metadata.version('xllamacpp')})", llama, settings, SAYS, lacks)


@asynccontextmanager
async def litellm(engines: Engines, folder: Path) -> AsyncIterator[Place]:
    """LiteLLM's proxy: one model for each engine."""
    programs = pip_environment("litellm", f"litellm[proxy]=={LITELLM}")
    listed = [
        {
            "model_name": script,
            "litellm_params": {"model": f"openai/{script}", "api_base": f"{engine.url}/v1", "api_key": KEY},
        }
        for script, engine in engines.items()
    ]
    config = {"model_list": listed, "general_settings": {"master_key": KEY}}
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML, too
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [str(programs / "litellm"), "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port)]

    def settings(script: str) -> Mapping[str, Any]:
        return {"base_url": f"{url}/v1", "model": script, "api_key": KEY}

    async with process([*command, "--telemetry", "False"], f"{url}/health/liveliness", folder):
        host = HostProfile.named("llama.cpp").model_copy(update={"context": 4096})
        yield Place(f"LiteLLM proxy {LITELLM}, before llama.cpp", host, settings, SAYS)


@asynccontextmanager
async def portkey(engines: Engines, folder: Path) -> AsyncIterator[Place]:
    """Portkey's gateway: a header names the host behind it."""
    program = npm_environment("portkey", f"@portkey-ai/gateway@{PORTKEY}") / "@portkey-ai/gateway/build/start-server.js"
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [_node(), str(program), f"--port={port}", "--headless"]

    def settings(script: str) -> Mapping[str, Any]:
        headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{engines[script].url}/v1"}
        return {"base_url": f"{url}/v1", "model": script, "api_key": KEY, "headers": headers}

    async with process(command, url, folder, TRUSTED_CUSTOM_HOSTS="127.0.0.1,localhost"):
        host = HostProfile.named("llama.cpp").model_copy(update={"context": 4096})
        lacks = {
            "a wrong model": "the engine behind it serves its one model under any name",
            "models": "answers 500",
            "thinking": "passes on only fields that it knows, so not the switch",
            **dict.fromkeys(STREAMED, "answers every stream with 500 on this Node"),
        }
        yield Place(f"Portkey gateway {PORTKEY}, before llama.cpp", host, settings, SAYS, lacks)


@asynccontextmanager
async def mock(engines: Engines, folder: Path) -> AsyncIterator[Place]:
    """mock-llm: it says by rule what the scripted models say, without usage."""
    program = npm_environment("mock", f"@dwmkerr/mock-llm@{MOCK}") / "@dwmkerr/mock-llm/dist/main.js"
    url = f"http://127.0.0.1:{(port := free_port())}"
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
    chat = "/v1/chat/completions"
    rules = [
        _rule(chat, "@", {"content": STANDARD_ANSWER}),
        _rule(
            chat,
            "body.chat_template_kwargs.thinking == `true`",
            {"content": THINKING_ANSWER, "reasoning_content": "Hm."},
        ),
        _rule(chat, "body.tools && body.messages[-1].role == 'user'", {"tool_calls": [call]}, "tool_calls"),
        _rule(chat, "body.messages[-1].role == 'tool'", {"content": TOOL_ANSWER}),
        _rule(chat, "contains(body.messages[-1].content, 'flag')", {"content": '{"raised": true}'}),
        _rule(chat, "headers.authorization == 'Bearer wrong-key'", None, status=401),
        _rule(chat, "body.model == 'no-such-model'", None, status=404),
        {"path": "/v1/models", "response": {"status": 200, "content": json.dumps({"data": [{"id": "answer"}]})}},
    ]
    config = {"streaming": {"chunkSize": 7, "chunkIntervalMs": 1}, "rules": rules}
    (folder / "mock.yaml").write_text(json.dumps(config))

    def settings(script: str) -> Mapping[str, Any]:
        return {"base_url": f"{url}/v1", "model": script, "api_key": KEY}

    async with process([_node(), str(program), "--config", "mock.yaml"], f"{url}/ready", folder, PORT=str(port)):
        ruled = ("cut by max_tokens", "a prompt too long", "a stream that is left", "a call that is cancelled")
        text_only = ("thinking, streamed", "tools, streamed", "16 calls at once")
        lacks = dict.fromkeys(ruled, "answers by rule") | dict.fromkeys(text_only, "streams text only")
        yield Place(f"mock-llm {MOCK}", HostProfile.named("vllm"), settings, SAYS, lacks)


def _rule(
    path: str, match: str, message: Mapping[str, object] | None, finish: str = "stop", *, status: int = 200
) -> dict[str, object]:
    choice = {"index": 0, "message": {"role": "assistant", **dict(message or {})}, "finish_reason": finish}
    answer = {"id": "m", "object": "chat.completion", "model": "mock", "choices": [choice]}
    error = {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None}}
    content = json.dumps(answer if message is not None else error)
    return {"path": path, "match": match, "response": {"status": status, "content": content}}


def _node() -> str:
    found = shutil.which("node")
    if found is None:
        raise SystemExit("this server needs Node; leave it out with --only")
    return found


SERVERS: Final[Mapping[str, Callable[[Engines, Path], AbstractAsyncContextManager[Place]]]] = {
    "llama.cpp": embedded,
    "litellm": litellm,
    "portkey": portkey,
    "mock-llm": mock,
}


# The table


async def results(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """What came of every check, by server and check."""
    found: dict[str, dict[str, str]] = {}
    async with AsyncExitStack() as stack:
        engines = {script: await stack.enter_async_context(Engine(tiny_gguf(script), key=KEY)) for script in SCRIPTS}
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                async with SERVERS[name](engines, Path(folder)) as place:
                    cells = found[place.name] = {}
                    for check in CHECKS:
                        cells[check] = await run(place, check)
                        print(f"{place.name}: {check}: {cells[check]}", file=sys.stderr)
    return found


def table(found: Mapping[str, Mapping[str, str]]) -> str:
    """The results in Markdown: a section for each server."""
    lines = [f"Python {sys.version.split()[0]}, {sys.platform}, {datetime.now(UTC):%Y-%m-%d}."]
    for name, cells in found.items():
        lines += ["", f"### {name}", "", "| What | Came of it |", "|---|---|"]
        lines += [f"| {check} | {cell.replace('|', '/')} |" for check, cell in cells.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    options = argparse.ArgumentParser(description="Try the client against servers that others wrote.")
    options.add_argument("--write", action="store_true", help="put the table into docs/servers-tested.md")
    options.add_argument("--only", nargs="+", choices=list(SERVERS), default=list(SERVERS))
    given = options.parse_args()
    found = asyncio.run(results(given.only))
    text = table(found)
    print(text)
    if given.write:
        block = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- end -->)", re.S)
        PAGE.write_text(block.sub(lambda _: f"\n{text}\n", PAGE.read_text("utf-8")), "utf-8")
    if any("**" in cell for cells in found.values() for cell in cells.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
