"""`deepthrift collect`, `calibrate`, `evaluate` and `route` as their users run them."""

from __future__ import annotations

import importlib.util
import json
import random
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.processes import COMMAND, PATIENCE, environment
from tests.router.support import by_mode
from tests.support.bill_server import Answer, BillServer

RATES = ("--prices", "official-2025-09-05")
STANDARD, THINKING = Answer("4"), Answer("The answer is 4.", reasoning="Two and two.")


@pytest.fixture
def server() -> Iterator[BillServer]:
    """An endpoint that knows one sum."""
    with BillServer(by_mode(STANDARD, THINKING)) as bill:
        yield bill


@pytest.fixture
def env(server: BillServer, tmp_path: Path) -> dict[str, str]:
    """The environment of a user of that endpoint."""
    home = str(tmp_path / "home")
    return {"DEEPTHRIFT_URL": server.url, "DEEPTHRIFT_HOST": "deepseek", "DEEPTHRIFT_HOME": home}


def prompts(path: Path, count: int) -> Path:
    lines = [json.dumps({"query": f"What is {number} + 2?", "reference": str(number + 2)}) for number in range(count)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def recorded(path: Path, count: int, *, seed: int = 1) -> Path:
    """Outcomes of a traffic on which log-probabilities tell much."""
    draw = random.Random(seed)
    lines = []
    for number in range(count):
        right = draw.random() < 0.8
        logprob = -0.05 if draw.random() < (0.9 if right else 0.1) else -4.0
        row = {
            "id": f"r{seed}-{number}",
            "query": f"Question {number} of run {seed}?",
            "standard_correct": float(right),
            "thinking_correct": float(draw.random() < 0.95),
            "standard_answer": "42",
            "standard_extra": {"sample_finals": ["42", "42", "42"], "logprobs": [[logprob]]},
        }
        lines.append(json.dumps(row))
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_collect(run: Run, env: dict[str, str], server: BillServer, tmp_path: Path) -> None:
    source, out = prompts(tmp_path / "in.jsonl", 3), tmp_path / "out.jsonl"
    ran = run("collect", *RATES, str(source), str(out), "--grader", "numeric", "--samples", "2", "--json", env=env)
    assert ran.code == 0, ran.err
    assert ran.json["done"] == 3
    assert Decimal(ran.json["spent"]["amount"]) == server.bill.total
    assert len(out.read_text().splitlines()) == 3
    again = run("collect", *RATES, str(source), str(out), "--samples", "2", env=env)
    assert "3 of 3 prompts have a row" in again.out
    assert len(server.requests) == 9
    short = run("collect", *RATES, str(prompts(source, 9)), str(out), "--budget", "0.0000001", env=env)
    assert short.code == 3
    assert "raise the budget" in short.err


@pytest.mark.slow
def test_what_stopped_it_decides_the_exit_code(run: Run, env: dict[str, str], tmp_path: Path) -> None:
    source, out = prompts(tmp_path / "in.jsonl", 12), tmp_path / "out.jsonl"
    gone = {**env, "DEEPTHRIFT_URL": "http://127.0.0.1:9/v1"}
    for command in (("collect", str(source), str(out)), ("evaluate", "--live", str(source))):
        ran = run(*command, *RATES, "--json", env=gone)
        assert (ran.code, ran.json["stopped_by"]) == (4, "endpoint")
    for command in (("collect", str(source), str(out)), ("evaluate", "--live", str(source))):
        ran = run(*command, *RATES, "--budget", "0.0000001", "--json", env=env)
        assert (ran.code, ran.json["stopped_by"]) == (3, "budget")


def test_a_grader_without_anything_to_grade_by_is_wrong_usage(
    run: Run, env: dict[str, str], server: BillServer, tmp_path: Path
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('"What is 2 + 2?"\n')
    ran = run("collect", *RATES, str(source), str(tmp_path / "out.jsonl"), "--grader", "numeric", env=env)
    assert (ran.code, "no prompt has one" in ran.err, server.requests) == (2, True, [])
    source.write_text('"What is 2 + 2?"\n{"query": "What is 3 + 1?", "reference": "4"}\n')
    ran = run("collect", *RATES, str(source), str(tmp_path / "out.jsonl"), "--grader", "numeric", env=env)
    assert (ran.code, "1 of 2 prompts have no reference" in ran.err) == (0, True)


@pytest.mark.slow
def test_collect_survives_a_kill(env: dict[str, str], server: BillServer, tmp_path: Path) -> None:
    """Killed in the middle, it leaves whole rows; run again, it asks only what is missing."""
    server.script = by_mode(STANDARD.but(delay=0.05), THINKING.but(delay=0.05))
    source, out = prompts(tmp_path / "in.jsonl", 12), tmp_path / "out.jsonl"
    command = [*COMMAND, "collect", *RATES, str(source), str(out), "--samples", "1", "--at-once", "2", "--json"]
    first = subprocess.Popen(command, env=environment(env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server.wait_for(lambda seen: len(seen.bill.lines) >= 8, timeout=PATIENCE)
    first.kill()
    first.wait()
    before = len([line for line in out.read_bytes().split(b"\n") if line.endswith(b"}")])
    asked = len(server.requests)
    done = subprocess.run(command, env=environment(env), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == len({row["id"] for row in rows}) == 12
    assert len(server.requests) - asked == 2 * (12 - before)


def test_calibrate_lists_and_goes_back(run: Run, env: dict[str, str], tmp_path: Path) -> None:
    data = recorded(tmp_path / "data.jsonl", 400)
    dry = run("calibrate", str(data), "--dry-run", "--json", env=env)
    assert dry.code == 0, dry.out + dry.err
    assert not dry.json["written"]
    assert run("calibrate", "--list", env=env).out == "no setting yet; the shipped one is in force\n"
    ran = run("calibrate", str(data), "--max-quality-loss", "0.05", "--json", env=env)
    assert ran.json["written"]
    assert "logprobs" in ran.json["setting"]["signals"]
    assert ran.json["promise"]["labels"] == 400
    listed = run("calibrate", "--list", "--json", env=env).json
    assert listed["current"] == ran.json["setting"]["version"]
    assert "in force" in run("calibrate", "--list", env=env).out
    worse = run("calibrate", str(recorded(data, 400, seed=2)), "--json", env=env)
    assert worse.code == 1
    assert worse.json["error"]["type"] == "NoLift"
    assert run("calibrate", "--rollback", env=env).out == "in force: shipped\n"
    assert run("calibrate", "--use", listed["current"], "--json", env=env).json["current"] == listed["current"]
    few = run("calibrate", str(recorded(data, 20)), env=env)
    assert few.code == 1
    assert "100 are needed" in few.err
    assert run("calibrate", "--rollback", "--list", env=env).code == 2


def test_evaluate_live(run: Run, env: dict[str, str], server: BillServer, tmp_path: Path) -> None:
    source = prompts(tmp_path / "in.jsonl", 4)
    ran = run("evaluate", *RATES, str(source), "--live", "--grader", "numeric", "--max-tokens", "50", "--json", env=env)
    assert ran.code == 0, ran.err
    assert [each["policy"] for each in ran.json["results"]] == ["standard", "thinking", "auto"]
    assert Decimal(ran.json["spent"]["amount"]) == server.bill.total
    shown = run("evaluate", *RATES, str(source), "--live", "--policy", "standard", "--max-tokens", "50", env=env)
    assert "4 questions" in shown.out
    stopped = run("evaluate", *RATES, str(source), "--live", "--max-tokens", "50", "--budget", "0.0000001", env=env)
    assert stopped.code == 3
    assert run("evaluate", str(source), "--budget", "1", env=env).code == 2
    assert run("evaluate", *RATES, str(source), "--live", "--cross-check", "x", env=env).code == 2


@pytest.mark.slow
def test_evaluate_replays_what_was_recorded(run: Run, env: dict[str, str], tmp_path: Path) -> None:
    data = recorded(tmp_path / "data.jsonl", 60)
    ran = run("evaluate", str(data), "--json", env=env)
    assert ran.code == 0, ran.err
    assert (ran.json["rows"], ran.json["setting"]) == (60, "shipped")
    assert ran.json["thinking"]["value"] > ran.json["standard"]["value"]
    shown = run("evaluate", str(data), env=env)
    assert "PGR" in shown.out
    assert "60 outcomes; the setting is shipped" in shown.out
    page, folder = tmp_path / "report.html", tmp_path / "figures"
    drawn = run("evaluate", str(data), "--html", str(page), "--png", str(folder), env=env)
    if importlib.util.find_spec("matplotlib") is None:
        assert (drawn.code, "deepthrift[report]" in drawn.err) == (2, True)
    else:
        assert "<svg" in page.read_text("utf-8")
        assert len(list(folder.glob("*.png"))) == 2
    assert run("evaluate", *RATES, str(data), "--live", "--html", str(page), env=env).code == 2
    bare = prompts(tmp_path / "in.jsonl", 2)
    assert run("evaluate", str(bare), env=env).code == 2
    assert run("evaluate", str(bare), "--grader", "judge", env=env).code == 2


def test_route_in_the_users_words(run: Run, env: dict[str, str], server: BillServer) -> None:
    plan = run("route", *RATES, "--value", "0.05", "--target-share", "0.3", "What is 2 + 2?", env=env)
    assert plan.code == 0, plan.err
    assert "30% of the answers are to be escalated" in plan.out
    assert "From the question alone" in plan.out
    assert server.requests == []
    assert "Would be bought: a standard answer" in plan.out
    assert run("spend", "--json", env=env).json["rows"] == []
    ran = run(
        "route", *RATES, "--run", "--policy", "cascade", "--max-tokens", "50", "--json", "What is 2 + 2?", env=env
    )
    assert ran.json["path"] == ["standard", "sample"]
    assert (Path(env["DEEPTHRIFT_HOME"]) / "router.db").exists()
    assert run("route", *RATES, "--temperature", "0", "What is 2 + 2?", env=env).code == 2
    few = run("route", *RATES, "--max-quality-loss", "0.02", "What is 2 + 2?", env=env)
    assert few.code == 1
    assert "more are needed" in few.err
    assert run("route", *RATES, "--max-cost", "much", "What is 2 + 2?", env=env).code == 2
