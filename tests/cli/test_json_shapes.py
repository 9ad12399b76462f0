"""`docs/json.md`: the shape of each command's JSON, held against what the command really writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.test_labels import recorded
from tests.router.support import by_mode
from tests.sdk.batch.files import row, write_rows
from tests.sdk.batch.native_server import BatchService
from tests.support.bill_server import Answer, BillServer
from tests.support.tiny_gguf import tiny_gguf

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "json.md").read_text("utf-8")
SHAPES: dict[str, Any] = {
    name: json.loads(text) for name, text in re.findall(r'^```json title="(\w+)"\n(.*?)^```', PAGE, re.M | re.S)
}
TABLE = dict(re.findall(r"^\| `([a-z -]+)` \| `(.+)` \|$", PAGE, re.M))
RATES = ("--prices", "official-2025-09-05")
KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "object": (dict,),
    "array": (list,),
}


def fits(shape: Any, value: Any, place: str = "$") -> list[str]:
    """Where `value` is not as `shape` says."""
    if isinstance(shape, str):
        choices = [_choice(each, value, place) for each in shape.split(" | ")]
        return [] if any(not wrong for wrong in choices) else choices[0]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{place} is no list"]
        return [wrong for number, each in enumerate(value) for wrong in fits(shape[0], each, f"{place}[{number}]")]
    if not isinstance(value, dict):
        return [f"{place} is no object"]
    if set(shape) == {"*"}:
        return [wrong for name, each in value.items() for wrong in fits(shape["*"], each, f"{place}.{name}")]
    told = {name.removesuffix("?"): each for name, each in shape.items()}
    needed = {name for name in shape if not name.endswith("?")}
    wrong = [f"{place}.{name} is missing" for name in needed - set(value)]
    wrong += [f"{place}.{name} is not on the page" for name in set(value) - set(told)]
    return wrong + [
        each for name in set(told) & set(value) for each in fits(told[name], value[name], f"{place}.{name}")
    ]


def _choice(name: str, value: Any, place: str) -> list[str]:
    if name not in KINDS:
        return fits(SHAPES[name], value, place)
    if isinstance(value, bool) and name != "boolean":
        return [f"{place} is a boolean, not {name}"]
    return [] if isinstance(value, KINDS[name]) else [f"{place} is {value!r}, not {name}"]


@pytest.fixture(scope="module")
def server() -> Iterator[BillServer]:
    with BillServer(by_mode(Answer("4"), Answer("The answer is 4.", reasoning="Two and two."))) as bill:
        yield bill


@pytest.fixture
def env(server: BillServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "in.jsonl", [row("a"), row("b", mode="thinking")])
    write_rows(tmp_path / "prompts.jsonl", [{"prompt": f"What is {number} + 2?"} for number in range(2)])
    write_rows(tmp_path / "sums.jsonl", [{"query": "What is 2 + 2?", "reference": "4", "dataset": "sums"}])
    recorded(tmp_path / "outcomes.jsonl", 200)
    return {"DEEPTHRIFT_URL": server.url, "DEEPTHRIFT_HOST": "deepseek", "DEEPTHRIFT_HOME": str(tmp_path / "home")}


def hold(run: Run, command: str, *rest: str, env: dict[str, str], **more: Any) -> None:
    """Run a command of the table, and compare."""
    ran = run(*command.split(), *rest, "--json", env=env, **more)
    assert ran.code == 0, ran.out
    shape = TABLE[command]
    assert not fits(json.loads(shape) if shape.startswith("[") else shape, ran.json), command


def test_answers(run: Run, env: dict[str, str]) -> None:
    for mode in ("standard", "thinking"):
        hold(run, "ask", "What is 2 + 2?", "--mode", mode, "--tag", "a=b", *RATES, env=env)
        hold(run, "ask", "What is 2 + 2?", "--mode", mode, "--beside", "brief", *RATES, env=env)
    hold(run, "chat", *RATES, env=env, input="Hello\n")
    hold(run, "route", "What is 12 * 12?", *RATES, env=env)
    hold(run, "route --run", "What is 12 * 12?", "--policy", "cascade", *RATES, env=env)
    hold(run, "count", "Hello", env=env)


def test_money(run: Run, env: dict[str, str]) -> None:
    hold(run, "budget set", "1", "--per", "day", "--name", "daily", env=env)
    run("ask", "What is 2 + 2?", *RATES, env=env)
    hold(run, "budget show", env=env)
    hold(run, "spend", env=env)
    hold(run, "spend", "--report", "--billed", "1", "--export", "all.csv", "--prune", "1w", "--yes", env=env)
    hold(run, "spend", "--since", "1d", "--until", "now", "--by", "model", "--by", "tag:team", env=env)
    hold(run, "budget reset", "daily", env=env)
    hold(run, "budget remove", "daily", env=env)
    hold(run, "price", env=env)
    hold(run, "price", "--host", "deepseek", "--all", env=env)
    hold(run, "price explain", "--prompt", "10", "--completion", "5", env=env)


def test_batches(run: Run, env: dict[str, str], tmp_path: Path) -> None:
    hold(run, "batch run --dry-run", "in.jsonl", "out.jsonl", *RATES, env=env)
    hold(run, "batch run --dry-run", "in.jsonl", "out.jsonl", "--expected-tokens", "9", *RATES, env=env)
    for _ in range(2):
        hold(run, "batch run", "in.jsonl", "out.jsonl", *RATES, env=env)
    (tmp_path / "tier.toml").write_text(
        'host = "openai"\nsource = "a contract"\nchecked = 2026-11-01\ndecided_by = "start"\n'
        '[[price]]\nid = "half"\nmodels = ["*"]\ntier = "batch"\nvalid_from = 2025-01-01T00:00:00Z\n'
        'usd = ["0.035", "0.28", "0.84"]\n'
    )
    with BatchService(looks=1) as service:
        there = env | {"DEEPTHRIFT_URL": service.url, "DEEPTHRIFT_HOST": "openai", "DEEPTHRIFT_PRICES": "tier.toml"}
        hold(run, "batch submit", "in.jsonl", "native.jsonl", env=there)
        hold(run, "batch status", "native.jsonl", env=there)
        hold(run, "batch fetch", "native.jsonl", "--wait", "--poll", "0.01", env=there)
        hold(run, "batch cancel", "native.jsonl", env=there)


def test_machines(run: Run, env: dict[str, str]) -> None:
    hold(run, "models", env=env)
    hold(run, "models choices", env=env)
    hold(run, "models pull", str(tiny_gguf("answer")), "--name", "mine", env=env)
    hold(run, "models remove", "mine", env=env)
    hold(run, "doctor --probe", env["DEEPTHRIFT_URL"], *RATES, env=env)
    hold(run, "engine plan", "--model", "deepseek-v3.1", env=env)
    hold(run, "plan", "--requests", "1000", "--prompt", "100", "--completion", "50", "--gpu-hour", "2", env=env)
    ran = run("doctor", "--offline", "--json", env=env)
    assert not fits(TABLE["doctor"], ran.json)


def test_the_router(run: Run, env: dict[str, str]) -> None:
    sides = ("--a", env["DEEPTHRIFT_URL"], "--b", env["DEEPTHRIFT_URL"], "--a-host", "deepseek", "--b-host", "deepseek")
    hold(run, "compare", "prompts.jsonl", *sides, *RATES, env=env)
    hold(run, "collect", "sums.jsonl", "collected.jsonl", *RATES, env=env)
    hold(run, "evaluate", "outcomes.jsonl", env=env)
    hold(run, "calibrate --list", env=env)
    hold(run, "calibrate", "outcomes.jsonl", "--dry-run", env=env)
    hold(run, "calibrate", "outcomes.jsonl", env=env)
    version = run("calibrate", "--list", "--json", env=env).json["current"]
    hold(run, "calibrate --rollback", env=env)
    hold(run, "calibrate --use", version, env=env)
    hold(run, "evaluate --live", "sums.jsonl", *RATES, env=env)


def test_failures(run: Run, env: dict[str, str]) -> None:
    for more in (("--prices", "nonsense"), (*RATES, "--url", "http://127.0.0.1:9/v1"), ("--nope",)):
        ran = run("ask", "x", *more, "--json", env=env)
        assert ran.code != 0
        assert not fits("Failure", ran.json)
    run("budget", "set", "0.000001", "--per", "day", env=env)
    ran = run("ask", "x", *RATES, "--json", env=env)
    assert ran.code == 3
    assert not fits("Failure", ran.json)


def test_every_command_of_the_table_is_run_here() -> None:
    text = Path(__file__).read_text("utf-8")
    assert len(TABLE) > 25
    assert [name for name in TABLE if f'"{name}"' not in text] == []


def test_what_does_not_fit_is_found() -> None:
    assert fits("Money", {"amount": 1, "currency": "USD"}) == ["$.amount is 1, not string"]
    assert fits("Money", {"amount": "1"}) == ["$.currency is missing"]
    assert fits(["Money | null"], [None, {"amount": "1", "currency": "USD", "more": 1}]) == [
        "$[1].more is not on the page"
    ]
    assert fits({"*": "integer"}, {"a": True}) == ["$.a is a boolean, not integer"]
