"""The wheel, installed as a user would: what works with the core alone, what works with the extras."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.packaging.environments import ROOT, Environment
from tests.support.bill_server import Answer, BillServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.xdist_group("packaging")]

CALL = """
import asyncio
from deepthrift import AsyncClient
from deepthrift_pricing import PriceBook

async def main() -> None:
    prices = PriceBook.flat(cache_hit="0.07", cache_miss="0.56", completion="1.68")
    async with AsyncClient({url!r}, host="vllm", model="deepseek-ai/DeepSeek-V3.1", prices=prices) as client:
        reply = await client.chat("What is the capital of France?", mode="thinking", max_tokens=64)
        print(reply.text, reply.mode, reply.cost.amount, sep="|")

asyncio.run(main())
"""


def test_core_alone_makes_a_priced_call(core: Environment) -> None:
    """No extra is needed for a call to an endpoint; the cost is the server's own bill."""
    with BillServer(Answer("Paris.", "A capital.")) as server:
        text, mode, cost = core.python(CALL.format(url=server.url)).strip().split("|")
        server.quiet()
        [billed] = server.bill.lines
    assert (text, mode) == ("Paris.", "thinking")
    assert cost == f"{billed.cost:f}"


def test_core_alone_counts_tokens_from_its_own_data(core: Environment) -> None:
    code = "from deepthrift_pricing.tokens import count_text, decode, encode; print(decode(encode('Paris, 巴黎')))"
    assert core.python(code, "-I") == "Paris, 巴黎\n"


def test_core_alone_has_only_what_it_asked_for(core: Environment) -> None:
    rows = json.loads(core.run("python", "-m", "pip", "list", "--format", "json").stdout)
    names = {row["name"].lower() for row in rows}
    assert {"deepthrift", "httpx", "pydantic", "tenacity", "tiktoken"} <= names
    assert not names & {"click", "rich", "xllamacpp", "numpy", "scikit-learn", "pytest"}


def test_missing_extras_say_how_to_get_them(core: Environment) -> None:
    command = core.run("deepthrift", "doctor")
    assert command.returncode == 1
    assert "pip install 'deepthrift[cli]'" in command.stderr
    code = """
import asyncio
from deepthrift import AsyncClient
from deepthrift.errors import MissingExtra

async def main() -> None:
    try:
        async with AsyncClient.local("model.gguf"):
            pass
    except MissingExtra as error:
        print(error)

asyncio.run(main())
"""
    assert "deepthrift[local]" in core.python(code)


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["price"], ["count", "Paris"], ["spend"]], ids=" ".join
)
def test_commands_answer(full: Environment, arguments: list[str]) -> None:
    done = full.run("deepthrift", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    assert "Traceback" not in done.stderr


def test_command_asks_an_endpoint_and_books_the_cost(full: Environment, tmp_path: Path) -> None:
    """`ask` and `spend` in two processes, on one ledger, agree with the server's bill on the tokens."""
    home = {"DEEPTHRIFT_HOME": str(tmp_path), "DEEPTHRIFT_PRICES": "brief"}
    with BillServer(Answer("Paris.")) as server:
        where = {
            "DEEPTHRIFT_URL": server.url,
            "DEEPTHRIFT_HOST": "vllm",
            "DEEPTHRIFT_MODEL": "deepseek-ai/DeepSeek-V3.1",
        }
        asked = full.run("deepthrift", "ask", "--json", "What is the capital of France?", **home, **where)
        server.quiet()
        [billed] = server.bill.lines
    assert asked.returncode == 0, asked.stdout + asked.stderr
    reply = json.loads(asked.stdout)
    assert "Paris." in json.dumps(reply)
    spend = full.run("deepthrift", "spend", "--json", **home)
    assert spend.returncode == 0, spend.stdout + spend.stderr
    assert str(billed.completion_tokens) in spend.stdout


@pytest.fixture(scope="session")
def checked(full: Environment, tmp_path_factory: pytest.TempPathFactory) -> tuple[Environment, Path]:
    """The full environment with both type checkers, and a user's project: our typing tests and examples, far away."""
    full.pip("fastapi", "mypy>=1.14", "pyright[nodejs]>=1.1.400")
    project = tmp_path_factory.mktemp("project")
    for source in [*sorted((ROOT / "tests/typing").glob("*.py")), *sorted((ROOT / "examples").glob("*.py"))]:
        shutil.copy(source, project / source.name)
    (project / "pyrightconfig.json").write_text(
        json.dumps(
            {
                "typeCheckingMode": "strict",
                "reportUnnecessaryTypeIgnoreComment": "error",
                "enableTypeIgnoreComments": False,
            }
        )
    )
    return full, project


def test_mypy_strict_reads_the_wheel(checked: tuple[Environment, Path]) -> None:
    environment, project = checked
    done = environment.run("mypy", "--strict", "--no-incremental", *map(str, sorted(project.glob("*.py"))))
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_strict_reads_the_wheel(checked: tuple[Environment, Path]) -> None:
    environment, project = checked
    done = environment.run("pyright", "--pythonpath", environment.program("python"), "-p", str(project))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_name_verifies_as_typed(checked: tuple[Environment, Path]) -> None:
    """No public symbol's type is unknown, in whole or in part."""
    environment, _ = checked
    for package in ("deepthrift_pricing", "deepthrift", "deepthrift_router"):
        done = environment.run(
            "pyright",
            "--pythonpath",
            environment.program("python"),
            "--verifytypes",
            package,
            "--ignoreexternal",
            "--outputjson",
        )
        report = json.loads(done.stdout)["typeCompleteness"]
        assert report["exportedSymbolCounts"]["withKnownType"] > 0
        assert report["exportedSymbolCounts"]["withUnknownType"] == 0, package
