"""The command line, run in this process; `tests/cli/test_processes.py` runs it as its users do."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that it has to be."""
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("count", "Hello")`: a command, with its exit code and what it wrote to both streams."""
    for name in ("OPENAI_BASE_URL", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    # click 8.1 mixes the two streams unless told not to; later ones never do.
    apart = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
    runner = CliRunner(**apart)

    def invoke(*args: str, input: str | None = None, env: Mapping[str, str] | None = None) -> Ran:
        from deepthrift_router.cli._app import cli

        result = runner.invoke(cli, list(args), input=input, env=env, prog_name="deepthrift")
        return Ran(result.exit_code, result.stdout, result.stderr)

    return invoke
