"""What importing the packages does, and what it must not do."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"click", "gguf", "jinja2", "numpy", "rich", "scipy", "sklearn", "tokenizers", "torch", "xllamacpp"}

PROBE = """
import json, sys
events = []
def hook(event, arguments):
    if event.startswith("socket.") and event not in ("socket.__new__",):
        events.append(event)
    elif event in ("subprocess.Popen", "os.system", "os.posix_spawn", "os.fork"):
        events.append(event)
    elif event == "open" and str(arguments[0]).endswith((".xz", ".bin", ".gz", ".gguf", ".tiktoken", ".db")):
        events.append(str(arguments[0]))
sys.addaudithook(hook)
import {module}
print(json.dumps({{"modules": sorted(sys.modules), "events": events}}))
"""


@functools.cache
def probe(module: str) -> dict[str, list[str]]:
    paths = [str(ROOT / folder) for folder in ("sdk", "router", "pricing")]
    code = f"import sys; sys.path[:0] = {paths!r}\n" + PROBE.format(module=module)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("module", ["deepthrift", "deepthrift_pricing", "deepthrift_router"])
def test_import_is_light_and_quiet(module: str) -> None:
    """No socket, no process, no vocabulary, and none of the heavy or optional packages.

    httpx loads click and rich for its own command where they are installed; that is not ours to change.
    """
    seen = probe(module)
    assert seen["events"] == []
    assert HEAVY & set(seen["modules"]) <= HEAVY & set(probe("httpx")["modules"])


def test_router_loads_only_what_routing_needs() -> None:
    """Neither labels nor evaluation nor other clients' doors, no database, no HTTP; and no model's schema is built."""
    seen = set(probe("deepthrift_router")["modules"])
    assert "deepthrift_router._door.router" in seen
    for_some = {f"deepthrift_router.{name}" for name in ("compat", "evaluation", "labels", "_evidence.sandbox_child")}
    assert not seen & {*for_some, "httpx", "sqlite3", "tenacity", "tiktoken"}
    # pydantic looks for plug-ins when it builds the first schema.
    assert "pydantic.plugin._loader" not in seen


def test_pricing_imports_neither_sdk_nor_router() -> None:
    loaded = {name.split(".")[0] for name in probe("deepthrift_pricing")["modules"]}
    assert not loaded & {"deepthrift", "deepthrift_router"}


def test_sdk_does_not_import_router() -> None:
    loaded = {name.split(".")[0] for name in probe("deepthrift")["modules"]}
    assert "deepthrift_pricing" in loaded
    assert "deepthrift_router" not in loaded


def test_import_directions() -> None:
    """The contracts of import-linter in pyproject.toml hold."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
