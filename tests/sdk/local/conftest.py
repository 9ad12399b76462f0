"""The tiny V3.1-architecture model, and one engine that runs it for the tests that only ask it something."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepthrift.local import Engine
from tests.support.tiny_gguf import tiny_gguf


@pytest.fixture(scope="session")
def tiny() -> Path:
    """A model that answers in both modes."""
    return tiny_gguf("answer")


@pytest.fixture(scope="session")
def chatty() -> Path:
    """A model that never ends of its own."""
    return tiny_gguf("random")


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Iterator[Engine]:
    """A running engine, shared by the tests of a module."""
    with asyncio.Runner() as runner:
        running = Engine(tiny, slots=2, context=2048)
        runner.run(running.__aenter__())
        yield running
        runner.run(running.aclose())
