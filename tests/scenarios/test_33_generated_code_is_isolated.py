"""33. Generated code never runs without isolation unless the user asks for it; `PassesTests` says what held."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from deepthrift import AsyncClient, Reply
from deepthrift.errors import ConfigurationError, IsolationUnavailable
from deepthrift_router import ModeRouter, PassesTests, Sandbox
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import settings
from tests.support.namespaces import without_user_namespaces

SUM = "What is 17 * 23?"
PATIENT = {"seconds": 60, "cpu_seconds": 60}
ATTACK = """
import os, socket
def attempt(what, act):
    try:
        print(what, act())
    except OSError as error:
        print(what, "refused")
attempt("environ", lambda: [open(f"/proc/{{each}}/environ").read() for each in os.listdir("/proc")])
attempt("secret", lambda: open({secret!r}).read())
attempt("network", lambda: socket.create_connection(("127.0.0.1", {port}), 5))
attempt("process", lambda: os.kill({pid}, 0))
"""


def isolates() -> bool:
    """Whether this system isolates code; the sandbox itself says so."""
    try:
        return asyncio.run(Sandbox(**PATIENT).check()) == ("network", "processes", "files")
    except IsolationUnavailable:
        return False


ISOLATES = isolates()
isolated = pytest.mark.skipif(not ISOLATES, reason="code cannot be isolated here")


@isolated
async def test_generated_code_sees_nothing_of_the_user(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("invented secret")
    secret.chmod(0o644)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        done = await Sandbox(**PATIENT).run(ATTACK.format(secret=str(secret), port=port, pid=os.getpid()))
    assert done.output.split("\n")[:4] == ["environ refused", "secret refused", "network refused", "process refused"]
    assert done.isolation == ("network", "processes", "files")


@isolated
async def test_total_space_and_the_number_of_files_are_limited() -> None:
    code = """
import os
total = made = 0
try:
    while True:
        with open(f"large-{total}", "wb") as file:
            file.write(bytes(1_000_000))
        total += 1
except OSError as error:
    print("space", total, error.strerror)
for name in os.listdir():
    os.unlink(name)
try:
    while True:
        open(f"small-{made}", "w").close()
        made += 1
except OSError as error:
    print("files", made, error.strerror)
"""
    done = await Sandbox(**PATIENT, disk_mb=8, files=200).run(code)
    assert done.output == "space 8 No space left on device\nfiles 200 No space left on device\n"


@isolated
@pytest.mark.parametrize(("body", "outcome"), [("return a + b", "passed"), ("return a - b", "refused")])
async def test_the_decision_says_what_isolation_held(body: str, outcome: str) -> None:
    answer = Answer(f"```python\ndef add(a, b):\n    {body}\n```")
    tests = PassesTests("assert add(2, 3) == 5", Sandbox(**PATIENT))
    async with BillServer(answer) as server, AsyncClient(**settings(server)) as client:
        reply = await ModeRouter(client, validators=[tests]).chat("Write add(a, b).", max_tokens=400)
    found = next(item for item in reply.decision.evidence if "PassesTests" in item.signal)
    assert found.outcome == outcome
    assert "isolated: no network, no other processes, no files but its own" in found.detail
    assert tests.isolation == ("network", "processes", "files")


@isolated
async def test_a_program_check_says_what_isolation_held() -> None:
    program = Answer("```python\nprint(17 * 23)\n```")
    async with (
        BillServer(lambda request: program if "program" in request.question else Answer("391")) as server,
        AsyncClient(**settings(server)) as client,
    ):
        router = ModeRouter(client, policy="cascade", checks=["program"], sandbox=Sandbox(**PATIENT))
        reply = await router.chat(SUM, max_tokens=400)
    found = next(item for item in reply.decision.evidence if item.signal == "program")
    assert "isolated: no network" in found.detail


WITHOUT = """
import asyncio, json, pathlib, sys
from deepthrift import AsyncClient
from deepthrift.errors import IsolationUnavailable
from deepthrift_router import ModeRouter, PassesTests, Sandbox
from deepthrift_router.evaluation import CodeGrader
from deepthrift_router.labels import ReferenceGrader
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import settings

mark = pathlib.Path(sys.argv[1])
WRITES = f"open({str(mark)!r}, 'w').write('it ran'); print(391)"
found = {}

async def main():
    async def refused(name, act):
        try:
            await act
        except IsolationUnavailable as error:
            found[name] = str(error)
    await refused("run", Sandbox().run(WRITES))
    await refused("grade", CodeGrader().grade("", WRITES, "pass"))
    await refused("check", ReferenceGrader("code").check())
    program = Answer(f"```python\\n{WRITES}\\n```")
    async with BillServer(program) as server, AsyncClient(**settings(server)) as client:
        reply = await client.chat("Write it.", max_tokens=400)
        await refused("tests", PassesTests("pass")(reply))
        reply = await ModeRouter(client, validators=[PassesTests("pass")]).chat("Write it.", max_tokens=400)
        found["validator"] = " ".join(reply.decision.missing)
        found["refused"] = [item.signal for item in reply.decision.evidence if item.decisive]
    async with BillServer(Answer("391")) as server, AsyncClient(**settings(server)) as client:
        router = ModeRouter(client, policy="cascade", checks=["program"])
        reply = await router.chat("What is 17 * 23?", max_tokens=400)
        found["program"] = " ".join(reply.decision.missing)
        found["calls for it"] = sum(attempt.purpose == "verify" for attempt in reply.attempts)
    found["ran"] = mark.exists()
    done = await Sandbox(required=False, seconds=60).run(WRITES)
    found["in words"] = [mark.exists(), list(done.isolation)]

asyncio.run(main())
print(json.dumps(found))
"""


def test_without_user_namespaces_nothing_runs_unless_the_user_says_so(tmp_path: Path) -> None:
    found = json.loads(without_user_namespaces(WITHOUT, str(tmp_path / "mark")))
    assert not found["ran"]
    for name in ("run", "grade", "check", "tests", "validator", "program"):
        assert "cannot be isolated" in found[name], name
        assert "max_user_namespaces" in found[name], name
        assert "Sandbox(required=False)" in found[name], name
    assert found["calls for it"] == 0
    assert found["refused"] == []
    assert found["in words"] == [True, []]


def test_the_command_line_refuses_before_anything_is_asked(tmp_path: Path) -> None:
    """`deepthrift collect --grader code` asks nothing where the code of the answers could not be run."""
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps({"query": "Write add(a, b).", "reference": "assert add(2, 3) == 5"}) + "\n")
    code = """
import asyncio, json, os, sys
from tests.support.bill_server import Answer, BillServer
prompts, out = sys.argv[1:]
async def main():
    async with BillServer(Answer("```python\\ndef add(a, b): return a + b\\n```")) as server:
        async def collect(*more):
            command = ["collect", prompts, out, "--grader", "code", "--url", server.url, "--host", "vllm"]
            command += ["--model", "deepseek-ai/DeepSeek-V3.1", "--prices", "brief", "--max-tokens", "100", *more]
            ran = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "deepthrift_router.cli", *command, stdout=-1, stderr=-1
            )
            _, said = await ran.communicate()
            return ran.returncode, len(server.requests), said.decode()
        print(json.dumps([await collect(), await collect("--run-code-unprotected")]))
asyncio.run(main())
"""
    refused, run = json.loads(without_user_namespaces(code, str(prompts), str(tmp_path / "out.jsonl")))
    assert refused[0] != 0
    assert refused[1] == 0
    assert "cannot be isolated" in refused[2]
    assert run[:2] == [0, 4]
    row = json.loads((tmp_path / "out.jsonl").read_text())
    assert row["standard_correct"] == 1


@pytest.mark.skipif(sys.platform == "linux", reason="Linux may isolate it")
async def test_elsewhere_nothing_runs_unless_the_user_says_so() -> None:
    with pytest.raises(ConfigurationError, match="required=False"):
        await Sandbox().run("print(1)")


async def test_the_verdict_of_tests_that_fail_says_what_held() -> None:
    """Called by hand, too, as a plain function of a reply."""
    tests = PassesTests("assert False, 'never right'", Sandbox(**PATIENT, required=False))
    async with BillServer(Answer("print(1)")) as server, AsyncClient(**settings(server)) as client:
        reply: Reply = await client.chat("Write it.", max_tokens=400)
    verdict = await tests(reply)
    assert isinstance(verdict, str)
    assert "never right" in verdict
    assert "isolated" in verdict
