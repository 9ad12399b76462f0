"""The tiny V3.1-architecture model, and engines that run it for the tests that only ask them something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deepthrift.local import Engine
from deepthrift.local._process import start as _start
from tests.support.tiny_gguf import Script, tiny_gguf


@pytest.fixture(scope="session")
def tiny() -> Path:
    """A model that answers in both modes."""
    return tiny_gguf("answer")


@pytest.fixture(scope="session")
def chatty() -> Path:
    """A model that never ends of its own."""
    return tiny_gguf("random")


@pytest.fixture(scope="session")
def engines() -> Iterator[Callable[[Script], Engine]]:
    """Running engines by script, started when first asked for and shared by all tests."""
    started: dict[Script, Engine] = {}
    with ThreadPoolExecutor(1) as thread, asyncio.Runner() as runner:  # a test's own loop may be running

        def running(script: Script) -> Engine:
            if script not in started:
                engine = Engine(tiny_gguf(script), slots=2, context=2048, embeddings=script == "answer")
                thread.submit(runner.run, engine.__aenter__()).result()
                started[script] = engine
            return started[script]

        yield running
        for engine in started.values():
            thread.submit(runner.run, engine.aclose()).result()
        thread.submit(runner.close).result()


@pytest.fixture(scope="session")
def engine(engines: Callable[[Script], Engine]) -> Engine:
    """The one that answers in both modes."""
    return engines("answer")


@pytest.fixture(autouse=True)
def _patient_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine an engine may take minutes to load; a test of the limit itself sets one."""
    monkeypatch.setattr(_start, "_START_SECONDS", 250.0)
