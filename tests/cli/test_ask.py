"""`deepthrift ask` against a server that keeps the true bill."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.cli.conftest import Run
from tests.cli.processes import COMMAND, PATIENCE, environment, running
from tests.support.bill_server import Answer, BillServer, Failure

KEY = "sk-very-secret-key"
SERVER_RATES = ("--prices", "official-2025-09-05")


@pytest.fixture
def server() -> Iterator[BillServer]:
    """An endpoint that wants a key and thinks when it is told to."""
    with BillServer(Answer("The capital is Paris.", reasoning="France is asked for."), key=KEY) as bill:
        yield bill


@pytest.fixture
def env(server: BillServer) -> dict[str, str]:
    """The environment of a user of that endpoint."""
    return {"DEEPTHRIFT_URL": server.url, "DEEPTHRIFT_API_KEY": KEY, "DEEPTHRIFT_HOST": "deepseek"}


def spent(run: Run) -> dict[str, Decimal]:
    """What the ledger holds, by mode."""
    rows = run("spend", "--json").json["rows"]
    return {row["key"]["mode"]: Decimal(row["total"]["amount"]) for row in rows}


def test_only_the_answer_goes_to_standard_output(run: Run, server: BillServer, env: dict[str, str]) -> None:
    ran = run("ask", *SERVER_RATES, "What is the capital of France?", env=env)
    assert ran.code == 0, ran.err
    assert ran.out == "The capital is Paris.\n"
    assert "standard · stop" in ran.err
    assert "4 out" in ran.err
    assert f"asking {server.url} (DEEPTHRIFT_URL)" in ran.err
    assert "\x1b" not in ran.out + ran.err
    assert spent(run) == {"standard": server.bill.total}


def test_thinking_shows_the_reasoning_apart(run: Run, server: BillServer, env: dict[str, str]) -> None:
    ran = run("ask", *SERVER_RATES, "--mode", "thinking", "What is the capital of France?", env=env)
    assert ran.code == 0, ran.err
    assert ran.out == "The capital is Paris.\n"
    assert "thinking: France is asked for.\n" in ran.err
    assert "(4 reasoning)" in ran.err
    assert "thinking · stop" in ran.err
    assert spent(run) == {"thinking": server.bill.total}


def test_json_is_one_document_with_the_exact_cost(run: Run, server: BillServer, env: dict[str, str]) -> None:
    ran = run("ask", *SERVER_RATES, "--mode", "thinking", "--json", "Capital?", env=env)
    assert ran.code == 0, ran.err
    reply = ran.json
    assert reply["text"] == "The capital is Paris."
    assert reply["reasoning"] == "France is asked for."
    assert reply["mode"] == reply["requested_mode"] == "thinking"
    assert Decimal(reply["cost"]["total"]["amount"]) == server.bill.total
    assert len(reply["attempts"]) == 1


def test_the_question_may_be_piped_in_with_a_system_message_and_tags(
    run: Run, server: BillServer, env: dict[str, str]
) -> None:
    ran = run("ask", *SERVER_RATES, "--system", "Be brief.", "--tag", "team=search", "-", input="From a pipe?", env=env)
    assert ran.code == 0, ran.err
    assert [message["content"] for message in server.requests[0].body["messages"]] == ["Be brief.", "From a pipe?"]
    rows = run("spend", "--by", "tag:team", "--json").json["rows"]
    assert [row["key"]["tag:team"] for row in rows] == ["search"]


def test_the_key_is_shown_nowhere(run: Run, env: dict[str, str]) -> None:
    for args in (("ask", "Hi"), ("ask", "--json", "Hi"), ("doctor", "--offline", "--json")):
        ran = run(*args, env={**env, "DEEPTHRIFT_DEBUG": "1"})
        assert KEY not in ran.out + ran.err


def test_a_wrong_key_is_an_endpoint_failure(run: Run, env: dict[str, str]) -> None:
    ran = run("ask", *SERVER_RATES, "Hi", env={**env, "DEEPTHRIFT_API_KEY": "sk-wrong-key"})
    assert ran.code == 4
    assert ran.out == ""
    assert "error: " in ran.err
    assert "Traceback" not in ran.err
    assert "sk-wrong-key" not in ran.err
    ran = run("ask", *SERVER_RATES, "--json", "Hi", env={**env, "DEEPTHRIFT_API_KEY": "sk-wrong-key"})
    assert ran.json["error"]["type"] == "AuthenticationFailed"
    assert ran.json["error"]["exit_code"] == 4


def test_a_dead_endpoint_is_an_endpoint_failure(run: Run) -> None:
    ran = run("ask", *SERVER_RATES, "--url", "http://127.0.0.1:9/v1", "Hi")
    assert ran.code == 4
    assert "127.0.0.1:9" in ran.err
    assert "Traceback" not in ran.err


def test_a_budget_refuses_before_anything_is_sent(run: Run, server: BillServer, env: dict[str, str]) -> None:
    assert run("budget", "set", "0.000001", "--name", "tight").code == 0
    ran = run("ask", *SERVER_RATES, "Hi", env=env)
    assert ran.code == 3
    assert "tight" in ran.err
    assert server.requests == []
    assert run("ask", *SERVER_RATES, "--json", "Hi", env=env).json["error"]["type"] == "BudgetExceeded"


def test_a_model_without_a_price_is_refused(run: Run, server: BillServer, env: dict[str, str]) -> None:
    ran = run("ask", "--model", "unheard-of", "Hi", env={**env, "DEEPTHRIFT_HOST": "openai"})
    assert ran.code == 1
    assert "unheard-of" in ran.err
    assert "--prices brief" in ran.err
    assert server.requests == []


@pytest.mark.parametrize("args", [("--max-tokens", "-3", "Hi"), ("",), ("   ",), ("--mode", "deep", "Hi"), ()])
def test_bad_input_is_refused_before_anything_is_sent(
    run: Run, server: BillServer, env: dict[str, str], args: tuple[str, ...]
) -> None:
    ran = run("ask", *args, env=env)
    assert ran.code == 2, ran.err
    assert ran.out == ""
    assert server.requests == []


def test_ctrl_c_stops_the_answer_and_books_what_came(run: Run, env: dict[str, str]) -> None:
    endless = Answer([f"word{number} " for number in range(2000)], stall_after=10)
    with BillServer(endless, key=KEY) as server:
        env = {**env, "DEEPTHRIFT_URL": server.url}
        with running("ask", *SERVER_RATES, "--max-tokens", "3000", "Count.", env=env) as command:
            command.until(lambda: "word5" in command.out)
            command.send(signal.SIGINT)
            ran = command.end()
        server.quiet()
        assert ran.code == 130
        assert "estimated" in ran.err
        assert "Traceback" not in ran.err
        assert server.requests[0].disconnected
        assert spent(run)["standard"] > 0


def test_a_failing_server_is_retried_and_told(run: Run, env: dict[str, str]) -> None:
    with BillServer([Failure(429), Answer("At last.")], key=KEY) as server:
        ran = run("ask", *SERVER_RATES, "Hi", env={**env, "DEEPTHRIFT_URL": server.url})
        assert ran.code == 0, ran.err
        assert ran.out == "At last.\n"
        assert "2 requests" in ran.err


def test_a_closed_pipe_is_no_error(env: dict[str, str]) -> None:
    answer = Answer([f"word{number} " for number in range(5000)])
    with BillServer(answer, key=KEY) as server:
        shell = subprocess.run(
            ["/bin/sh", "-c", '"$@" | head -c 5', "sh", *COMMAND, "ask", *SERVER_RATES, "--max-tokens", "6000", "Hi"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=environment({**env, "DEEPTHRIFT_URL": server.url}),
            check=False,
        )
    assert shell.stdout == "word0"
    assert "Traceback" not in shell.stderr
    assert "BrokenPipe" not in shell.stderr
