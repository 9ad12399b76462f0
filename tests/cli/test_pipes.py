"""What a pipe gets: the answer letter by letter, and no complaint when nobody reads on."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.processes import COMMAND, PATIENCE, deepthrift, environment
from tests.support.bill_server import Answer, BillServer

RATES = ("--prices", "official-2025-09-05")
EXACT = "all:\n\techo :warning: [bold]x[/bold]\tend\r\n中文 :key:"


@pytest.fixture
def server() -> Iterator[BillServer]:
    with BillServer(Answer([EXACT[:12], EXACT[12:]])) as bill:
        yield bill


@pytest.fixture
def env(server: BillServer) -> dict[str, str]:
    return {"DEEPTHRIFT_URL": server.url, "DEEPTHRIFT_HOST": "deepseek"}


@pytest.mark.parametrize("mode", ["standard", "auto"])
def test_a_pipe_gets_the_answer_letter_by_letter(env: dict[str, str], mode: str) -> None:
    done = subprocess.run(
        [*COMMAND, "ask", *RATES, "--mode", mode, "A makefile?"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        env=environment({**env, "PYTHONUTF8": "1"}),
        check=True,
    )
    assert done.stdout.decode() == f"{EXACT}\n"


@pytest.mark.slow
def test_letters_that_the_pipe_has_not_are_escaped(env: dict[str, str]) -> None:
    narrow = {**env, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    ran = deepthrift("ask", *RATES, "A makefile?", env=narrow)
    assert (ran.code, "\\u4e2d\\u6587" in ran.out) == (0, True), ran.err
    assert deepthrift("ask", *RATES, "--json", "A makefile?", env=narrow).json["text"] == EXACT


@pytest.mark.parametrize("args", [("price",), ("price", "--json"), ("nonsense", "--json"), ("ask", "Hi"), ("--help",)])
def test_a_reader_that_has_left_is_no_reason_to_complain(env: dict[str, str], args: tuple[str, ...]) -> None:
    prices = RATES if args[0] == "ask" else ()
    process = subprocess.Popen(
        [*COMMAND, *args[:1], *prices, *args[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(env),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        process.stdout.close()
        said = process.stderr.read()
        process.wait(PATIENCE)
    assert "Traceback" not in said
    assert "roken pipe" not in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
@pytest.mark.parametrize("args", [("price",), ("price", "--json")])
def test_a_full_disk_is_told_on_standard_error(args: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *args], stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False
        )
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert done.stderr.startswith("error: No space left on device")


def test_errors_as_json_are_ascii_where_standard_output_is(run: Run) -> None:
    ran = deepthrift("spend", "--json", "--by", "日", env={"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"})
    assert ran.code == 2
    assert ran.out.isascii()
    assert "日" in json.loads(ran.out)["error"]["message"]
    assert "日" in run("spend", "--json", "--by", "日").out
