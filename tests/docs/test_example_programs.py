"""Each program in `examples/` runs as a user would run it, against a real server, and does what it says."""

from __future__ import annotations

import contextlib
import os
import random
import re
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.processes import children_of, lives
from tests.docs.answers import answer
from tests.support.bill_server import Answer, BillServer, Received
from tests.support.databases import postgres_url
from tests.support.offline import can_go_offline, offline
from tests.support.ports import dead_port
from tests.support.tiny_gguf import STANDARD_ANSWER, THINKING_ANSWER, tiny_gguf

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


def command(name: str, *arguments: str) -> list[str]:
    """An example as a process, warnings as errors."""
    return [sys.executable, "-W", "error", str(ROOT / "examples" / name), *arguments]


def environment(url: str, home: Path, **more: str) -> dict[str, str]:
    """What a process of an example finds around it."""
    paths = os.pathsep.join(str(ROOT / folder) for folder in ("sdk", "router", "pricing"))
    return dict(os.environ, DEEPTHRIFT_URL=url, DEEPTHRIFT_HOME=str(home), PYTHONPATH=paths, NO_COLOR="1", **more)


def run(name: str, url: str, home: Path, *arguments: str, **more: str) -> str:
    """The standard output of an example that runs to its end."""
    return finish(command(name, *arguments), home, environment(url, home, **more))


def finish(words: list[str], home: Path, variables: dict[str, str]) -> str:
    """What a command wrote to standard output; it has to end well."""
    done = subprocess.run(
        words, cwd=home, env=variables, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_first_call(tmp_path: Path) -> None:
    with BillServer(answer) as server:
        out = run("first_call.py", server.url, tmp_path)
        server.quiet()
        [billed] = server.bill.lines
    assert "The capital of France is Paris." in out
    assert f"{billed.prompt_tokens + billed.completion_tokens} tokens" in out
    assert "finished by stop" in out


def test_stream(tmp_path: Path) -> None:
    with BillServer(answer) as server:
        out = run("stream.py", server.url, tmp_path, "How many primes are below 1,000?")
        server.quiet()
        [billed] = server.bill.lines
    assert "sieve" in out
    assert "There are 168 primes below 1,000." in out
    assert f"{billed.reasoning_tokens} of {billed.completion_tokens} tokens were reasoning" in out


def test_budget(tmp_path: Path) -> None:
    """Some calls fit and some do not, and what is left is never below nothing."""
    with BillServer(answer) as server:
        out = run("budget.py", server.url, tmp_path)
        server.quiet()
        billed = len(server.bill)
    [(answered, asked)] = re.findall(r"^(\d+) of (\d+) calls were answered", out, re.M)
    assert int(answered) == billed
    assert 0 < int(answered) < int(asked)
    [left] = re.findall(r"left (\S+) USD", out)
    assert not left.startswith("-")


@pytest.mark.slow
def test_fleet_budget(tmp_path: Path) -> None:
    """Three processes on one PostgreSQL ledger: all of the budget that fits is used, and not a cent more."""
    with BillServer(answer) as server, postgres_url() as ledger:
        out = run("fleet_budget.py", server.url, tmp_path, DEEPTHRIFT_LEDGER=ledger)
        server.quiet()
        billed, total = len(server.bill), server.bill.total
    answers = [int(count) for count in re.findall(r"^worker-\d: (\d+) answers", out, re.M)]
    assert len(answers) == 3
    assert sum(answers) == billed > 3
    assert f"booked:   {billed} attempts" in out
    [(spent, limit)] = re.findall(r"budget:   (\S+) USD of (\S+) USD, overspend 0$", out, re.M)
    assert 0 < Decimal(spent) <= Decimal(limit)
    assert total > 0


def test_budget_alerts(tmp_path: Path) -> None:
    """Each threshold is told once, by a message that the receiver could verify; a forged one is refused."""
    with BillServer(answer) as server:
        out = run("budget_alerts.py", server.url, tmp_path)
    told = [line for line in out.splitlines() if line.startswith(("warning", "critical", "info", "refused"))]
    assert [re.findall(r"\d+ %", line) for line in told[:2]] == [["50 %"], ["80 %"]], out
    assert told[2:] == ["refused: the signature does not fit the body"]


def test_self_run_vllm(tmp_path: Path) -> None:
    """Both modes, at the price of the hardware."""
    with BillServer(answer, dialect="template-thinking", models=["deepseek-ai/DeepSeek-V3.1"]) as server:
        out = run("self_run_vllm.py", server.url, tmp_path)
        server.quiet()
        assert [line.mode for line in server.bill.lines] == ["standard", "thinking"]
    assert "the server has deepseek-ai/DeepSeek-V3.1" in out
    assert out.count("There are 168 primes below 1,000.") == 2
    assert re.search(r"ran in thinking mode, \d+ tokens generated, 0\.0\d+ USD", out)


def test_offline_tests(tmp_path: Path) -> None:
    """What was recorded is replayed word for word, at the same cost, with one request to the endpoint."""
    with BillServer(answer) as server:
        out = run("offline_tests.py", server.url, tmp_path)
        assert len(server.requests) == 1
    recorded, first, replayed, second = out.splitlines()
    assert recorded.removeprefix("recorded: ") == replayed.removeprefix("replayed: ") == "Yes."
    assert first == second


def test_tiered_fallback(tmp_path: Path) -> None:
    """The standard answer is refused by the validator, thinking mends it, and both are on the bill."""
    with BillServer(answer) as server:
        out = run("tiered_fallback.py", server.url, tmp_path)
        server.quiet()
        modes = [line.mode for line in server.bill.lines]
    assert "INV-7: 12.50" in out
    assert "path: standard > escalate" in out
    assert modes == ["standard", "thinking"]
    assert out.count("  answer ") + out.count("  escalate ") == len(modes)


def test_batch_file(tmp_path: Path) -> None:
    """Answered once: the second run finds everything there."""
    with BillServer(answer) as server:
        out = run("batch_file.py", server.url, tmp_path)
        again = run("batch_file.py", server.url, tmp_path)
        server.quiet()
        assert len(server.bill) == 3
    assert "3 answered, 3 of them now" in out
    assert "There are 168 primes below 1,000." in out
    assert "3 answered, 0 of them now" in again


@pytest.mark.slow
def test_calibrate_on_your_labels(tmp_path: Path) -> None:
    """Both modes are asked, graded and learned from."""
    draw = random.Random(4)
    wrong = {number for number in range(1, 121) if draw.random() < 0.3}

    def sums(request: Received) -> Answer:
        number = int(re.findall(r"What is (\d+)", request.question)[0])
        right = request.mode_ran == "thinking" or number not in wrong
        return Answer(str(4 * number if right else draw.randrange(1000, 9999)), "Adding them.")

    with BillServer(sums) as server:
        out = run("calibrate_on_your_labels.py", server.url, tmp_path)
        server.quiet()
        asked = len(server.requests)
    assert asked == 120 * 4
    assert re.search(r"120 of 120 prompts, 0\.00\d+ USD", out)
    assert re.search(r"setting 20\w+Z: log loss \d\.\d+ before", out)
    assert "of accuracy lost at 95% confidence" in out


@pytest.mark.slow
@pytest.mark.engine
def test_embedded_engine(tmp_path: Path) -> None:
    """On the tiny model in V3.1's architecture: a real engine, both modes, and a ledger that adds up."""
    out = run("embedded_engine.py", "", tmp_path, str(tiny_gguf("answer")))
    assert f"standard: {STANDARD_ANSWER}" in out
    assert f"thinking: {THINKING_ANSWER}" in out
    assert re.search(r"completion tokens, [1-9]\d* of them reasoning", out)


@pytest.mark.slow
@pytest.mark.engine
def test_offline_engine(tmp_path: Path) -> None:
    """With no network in the process's world at all, where this user may make one; else under its own guard."""
    words = command("offline_engine.py", str(tiny_gguf("answer")))
    out = finish(offline(words) if can_go_offline() else words, tmp_path, environment("", tmp_path))
    assert STANDARD_ANSWER in out
    assert "1 attempt booked" in out


def test_the_guard_of_the_offline_example_lets_nothing_out() -> None:
    guard = runpy.run_path(str(ROOT / "examples" / "offline_engine.py"))["guard"]
    guard("socket.connect", (None, ("127.0.0.1", 80)))
    guard("socket.getaddrinfo", ("localhost", 80))
    with pytest.raises(PermissionError, match="connect"):
        guard("socket.connect", (None, ("192.0.2.1", 80)))
    with pytest.raises(PermissionError, match="look up"):
        guard("socket.getaddrinfo", ("example.com", 80))


@pytest.mark.slow
@pytest.mark.engine
def test_engine_service(tmp_path: Path) -> None:
    """The engine serves requests while the service runs, and ends with it."""
    port = dead_port()
    words = command("engine_service.py", str(tiny_gguf("answer")))
    with subprocess.Popen(words, cwd=tmp_path, env=environment("", tmp_path, PORT=str(port))) as service:
        try:
            transport = httpx.HTTPTransport(retries=7)  # with pauses that double: until it listens
            with httpx.Client(transport=transport, base_url=f"http://127.0.0.1:{port}", timeout=60) as browser:
                asked = browser.post("/ask", json={"question": "What is the capital of France?", "mode": "thinking"})
                assert asked.json()["answer"] == THINKING_ANSWER
                assert asked.json()["mode"] == "thinking"
                assert browser.post("/ask", json={"question": ""}).status_code == 422
                assert browser.get("/spend").json() == {"thinking": asked.json()["cost"]}
            [engine] = children_of(service.pid)
        finally:
            service.send_signal(signal.SIGINT)
    assert not lives(engine)


def test_tools(tmp_path: Path) -> None:
    with BillServer(answer) as server:
        out = run("tools.py", server.url, tmp_path)
        server.quiet()
        assert len(server.bill) == 2
    assert out.count("calling temperature") == 2
    assert '{"city": "Rome"} -> 21' in out
    assert "Rome, by 7 degrees." in out
    assert "2 rounds, " in out


def test_structured_extraction(tmp_path: Path) -> None:
    with BillServer(answer) as server:
        out = run("structured_extraction.py", server.url, tmp_path)
    assert "Stationer: 2.50 in 1 line" in out
    assert "so far: {'shop': 'Stationer'" in out
    assert "at last: 2.50" in out
    assert re.search(r"not a receipt, for 0\.000\d+ USD: .+", out)


@pytest.mark.slow
def test_fastapi_spend(tmp_path: Path) -> None:
    """Each customer has an account and a limit, and Prometheus reads what the ledger has."""
    with BillServer(answer) as server, serving("fastapi_spend.py", server.url, tmp_path, LIMIT="0.00047") as browser:
        ada, bob = {"x-customer": "ada"}, {"x-customer": "bob"}
        question = {"text": "How many primes are below 1,000?"}
        first = browser.post("/ask", json=question, headers=ada)
        assert first.json()["text"] == "There are 168 primes below 1,000."
        assert browser.post("/ask", json=question).status_code == 422
        assert browser.post("/ask", json={"text": ""}, headers=ada).status_code == 422
        codes = [browser.post("/ask", json=question, headers=ada).status_code for _ in range(20)]
        assert codes[-1] == 402
        assert browser.post("/ask", json=question, headers=bob).status_code == 200
        spent = browser.get("/spend").json()
        assert {row["customer"] for row in spent} == {"ada", "bob"}
        server.quiet()
        total = sum(Decimal(row["total"].removesuffix(" USD")) for row in spent)
        families = {family.name: family for family in text_string_to_metric_families(browser.get("/metrics").text)}
        counted = sum(sample.value for sample in families["deepthrift_spend"].samples)
        assert counted == pytest.approx(float(total))
        generated = sum(sample.value for sample in families["deepthrift_completion_tokens"].samples)
        assert generated == sum(line.completion_tokens for line in server.bill.lines)
        assert "ada" not in browser.get("/metrics").text


def test_web_stream(tmp_path: Path) -> None:
    """As the page's script hears it; a real browser looks at it in tests/browser."""
    with BillServer(answer) as server, serving("web_stream.py", server.url, tmp_path) as browser:
        assert "<title>" in browser.get("/").text
        heard = browser.get("/answer", params={"question": "How many primes are below 1,000?", "policy": "thinking"})
    assert heard.headers["content-type"].startswith("text/event-stream")
    names = re.findall(r"^event: (\w+)$", heard.text, re.M)
    assert names[0] == "reasoning"
    assert names[-1] == "done"
    assert "text" in names


@contextlib.contextmanager
def serving(name: str, url: str, home: Path, **more: str) -> Iterator[httpx.Client]:
    """A program that serves, and a client for it."""
    port = dead_port()
    with subprocess.Popen(command(name), cwd=home, env=environment(url, home, PORT=str(port), **more)) as service:
        try:
            transport = httpx.HTTPTransport(retries=7)  # with pauses that double: until it listens
            with httpx.Client(transport=transport, base_url=f"http://127.0.0.1:{port}", timeout=60) as browser:
                yield browser
        finally:
            service.send_signal(signal.SIGINT)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_has_a_test_of_its_own(name: str) -> None:
    assert f"test_{name.removesuffix('.py')}" in globals()


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_is_on_the_page_of_examples(name: str) -> None:
    text = (ROOT / "docs" / "examples.md").read_text("utf-8")
    assert f"[`{name}`](#" in text
    assert f"examples/{name}" in text
