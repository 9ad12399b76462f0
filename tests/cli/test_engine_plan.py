"""`deepthrift engine plan`: V3.1 on machines of one's own, as commands, memory, nodes and a profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepthrift import Client, HostProfile
from deepthrift_pricing import known_weights
from deepthrift_router.cli._models.launch import engine_plan, launches, servable, template_text
from tests.cli.conftest import Run
from tests.support.bill_server import Answer, BillServer
from tests.support.v31_reference import render

PLAN = ("engine", "plan", "--model", "deepseek-v3.1")
FLAGS = {
    "vllm": {
        "--reasoning-parser deepseek_v3",
        "--tool-call-parser deepseek_v31",
        "--chat-template examples/tool_chat_template_deepseekv31.jinja",
        "--enable-prompt-tokens-details",
    },
    "sglang": {
        "--reasoning-parser deepseek-v3",
        "--tool-call-parser deepseekv31",
        "--chat-template examples/chat_template/tool_chat_template_deepseekv31.jinja",
        "--enable-cache-report",
    },
    "vllm-ascend": {
        "--quantization ascend",
        "--reasoning-parser deepseek_v3",
        "--tool-call-parser deepseek_v31",
    },
}


@pytest.mark.parametrize("chip", [each.id for each in launches().chip])
def test_every_chip_gets_the_right_parsers_and_as_few_nodes_as_hold_the_weights(run: Run, chip: str) -> None:
    found = run(*PLAN, "--chip", chip, "--json").json["plan"]
    machine, weights = found["machine"], found["weights"]
    assert machine["memory_gb"] - weights["memory_gb"] == found["left_gb"] >= 0
    node = machine["memory_gb"] // found["needed"]
    assert (found["needed"] - 1) * node < weights["memory_gb"] <= found["needed"] * node
    for launch in found["launches"]:
        assert len(launch["commands"]) == found["needed"]
        for command in launch["commands"]:
            assert not {flag for flag in FLAGS[launch["server"]["id"]] if flag not in command}
            assert "{" not in command
            assert launch["model"] in command


def test_several_nodes_find_each_other(run: Run) -> None:
    plan = run(*PLAN, "--chip", "h100", "--json").json["plan"]
    by_server = {launch["server"]["id"]: launch["commands"] for launch in plan["launches"]}
    first, second = by_server["vllm"]
    assert "--nnodes 2 --node-rank 0 --master-addr NODE0" in first
    assert "--nnodes 2 --node-rank 1 --master-addr NODE0" in second
    assert ("--headless" in first, "--headless" in second) == (False, True)
    assert all("--tp 16" in command for command in by_server["sglang"])
    _, follower = run(*PLAN, "--chip", "atlas-a2", "--json").json["plan"]["launches"][0]["commands"]
    assert "--data-parallel-size 4 --tensor-parallel-size 4" in follower
    assert "--data-parallel-start-rank 2" in follower


def test_untested_is_said_and_the_brief_s_figures_are_called_so(run: Run) -> None:
    ran = run(*PLAN, "--chip", "h100")
    text = " ".join(ran.out.split())
    assert "vLLM (untested here on such chips)" in text
    assert "620 tokens/s in FP8: the project brief's figure, not measured here" in text
    assert "throughput in the project's brief; none of it was measured here" in text
    assert max(len(line) for line in ran.out.splitlines() if "brief-" in line or "published-" in line) <= 200
    rates = run(*PLAN, "--json").json["brief_rates"]
    assert {(rate["chip"], rate["format"], rate["tokens_per_second"]) for rate in rates} == {
        ("h100", "FP16", 380),
        ("h100", "FP8", 620),
        ("domestic-a", "UE8M0", 540),
        ("domestic-b", "UE8M0", 510),
    }


@pytest.mark.parametrize("chip", [each.id for each in launches().chip])
@pytest.mark.parametrize("weights", [None, *(each.id for each in servable())])
def test_a_figure_stands_only_above_weights_in_its_format(run: Run, chip: str, weights: str | None) -> None:
    """UE8M0 is a format of FP8: its figure says nothing of a launch with W8A8 weights."""
    ran = run(*PLAN, "--chip", chip, *(("--weights", weights) if weights else ()))
    if ran.code == 2:
        return  # no server takes them on this chip
    above = ran.out.partition("vllm serve")[0].partition("launch_server")[0]
    planned = weights or next(each.weights for each in launches().chip if each.id == chip)
    formats = {rate.format for rate in launches().rate if f"tokens/s in {rate.format}" in above}
    assert formats <= {"brief-full": {"FP16"}, "published-fp8": {"FP8", "UE8M0"}}.get(planned, set())
    assert ("tokens/s in" in above) == bool(formats)
    if planned == "ascend-w8a8":
        assert "UE8M0" not in above


def test_a_figure_that_contradicts_the_weights_is_called_so(run: Run) -> None:
    said = "states 42 GB for INT8: that contradicts the 350 GB of the INT8 weights (brief-int8)"
    assert said in " ".join(run(*PLAN).out.split())
    assert said in run(*PLAN, "--json").json["contradictions"][0]


def test_the_table_refers_to_what_there_is_and_names_its_sources() -> None:
    table = launches()
    forms = {form.id for form in servable()}
    servers = {server.id: server for server in table.server}
    assert {form for server in table.server for form in server.takes} <= forms
    assert {chip.weights for chip in table.chip} | {each.weights for each in table.checkpoint} <= forms
    assert {name for chip in table.chip for name in chip.servers} <= set(servers)
    assert {rate.chip for rate in table.rate} <= {chip.id for chip in table.chip}
    assert {form for rate in table.rate for form in rate.weights} | {each.weights for each in table.claim} <= forms
    assert all(each.source for each in (*table.server, *table.chip, *table.weights))
    assert not any(server.tested for server in table.server)
    assert all(server.host in HostProfile.names() for server in table.server)
    assert {form.id for form in known_weights() if "gguf" in form.id}.isdisjoint(forms)
    for chip in table.chip:
        form = next(form for form in servable() if form.id == chip.weights)
        assert engine_plan(chip, form, nodes=None, servers=(), template=None).launches


def test_the_profile_talks_to_such_a_server(run: Run, tmp_path: Path) -> None:
    profile, template = tmp_path / "box.toml", tmp_path / "v31.jinja"
    with BillServer(Answer(reasoning_field="reasoning"), dialect="template-thinking") as server:
        ran = run(*PLAN, "--url", server.url, "--write-profile", str(profile), "--write-template", str(template))
        assert ran.code == 0, ran.err
        assert f"--chat-template {template}" in ran.out
        host = HostProfile.load(profile)
        assert (host.name, host.base_url, host.exact_prompts) == ("vllm", server.url, True)
        with Client(host=host, prices="brief") as client:
            replies = [client.chat("What is 17 + 25?", mode=mode, max_tokens=64) for mode in ("standard", "thinking")]
        assert [reply.mode for reply in replies] == ["standard", "thinking"]
        asked = run("ask", "--host", str(profile), "--prices", "brief", "--mode", "thinking", "Hi")
        assert (asked.code, asked.out) == (0, "Paris.\n"), asked.err
        assert {request.body["model"] for request in server.requests} == {"deepseek-ai/DeepSeek-V3.1"}
    assert template.read_text("utf-8") == template_text()
    assert run(*PLAN, "--write-profile", str(profile)).code == 2


def test_the_packaged_template_writes_tools_as_they_are_counted() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "Do.", "parameters": {"type": "object"}}}
    from deepthrift_pricing.tokens import render as counted

    messages = [{"role": "user", "content": "Hi"}]
    shown = render(template_text(), messages=messages, tools=[tool], add_generation_prompt=True, thinking=False)
    assert shown == counted(messages, mode="standard", tools=[tool])


@pytest.mark.parametrize(
    "wrong",
    [
        ("--chip", "abacus"),
        ("--weights", "lead"),
        ("--weights", "published-gguf-1bit"),
        ("--chip", "h100", "--nodes", "1"),
        ("--chip", "atlas-a3", "--server", "sglang"),
        ("--chip", "atlas-a3", "--weights", "published-nvfp4"),
        ("--model", "another"),
    ],
)
def test_wrong_usage_is_refused(run: Run, wrong: tuple[str, ...]) -> None:
    assert run("engine", "plan", *wrong).code == 2


def test_the_engine_s_own_options_need_no_word_before_them(run: Run) -> None:
    ran = run("engine", "--lan", env={"DEEPTHRIFT_ENGINE_KEY": "", "DEEPTHRIFT_URL": ""})
    assert ran.code != 0
    assert "Usage: deepthrift engine serve" in ran.err or "DEEPTHRIFT_ENGINE_KEY" in ran.err
    assert run("engine", "--port", "none").code == 2
    assert "serve" in run("engine", "--help").out


def test_the_planning_guide_shows_the_commands_as_they_are_printed(run: Run) -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "planning.md").read_text("utf-8")
    for launch in run(*PLAN, "--json").json["plan"]["launches"]:
        (command,) = launch["commands"]
        assert f"```console\n{command}\n```" in guide
    for rate in launches().rate:
        assert f"| {rate.format} | {rate.tokens_per_second} |" in guide
