"""What the commands tell of an engine that takes long to load, and what they refuse before it starts."""

from __future__ import annotations

import pytest

from deepthrift.local import EngineProgress
from deepthrift_router.cli._models.loading import loading
from deepthrift_router.cli._shared.output import Output
from tests.cli.processes import deepthrift


def test_a_long_load_is_told_in_tenths(monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output(as_json=False)
    told: list[str] = []
    monkeypatch.setattr(output, "note", told.append)
    show = loading(output)
    show(EngineProgress("checking", 2.0))
    show(EngineProgress("loading", 0.5, 10, 1000))
    for done in range(0, 1000, 20):
        show(EngineProgress("loading", 1.5, done * 1_000_000, 1_000_000_000))
    assert len(told) == 10
    assert told[0].startswith("loading the model: 0")
    assert all("of 1" in line for line in told)


def test_the_network_needs_a_key_of_the_users() -> None:
    ran = deepthrift("engine", "--lan", "none.gguf")
    assert ran.code == 2
    assert "DEEPTHRIFT_ENGINE_KEY" in ran.err
    ran = deepthrift("engine", "--lan", "none.gguf", env={"DEEPTHRIFT_ENGINE_KEY": "short-key"})
    assert "16 or more characters" in ran.err
