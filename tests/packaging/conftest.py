"""One build and one clean environment for all packaging tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.environments import Environment, build_distributions


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the source distribution."""
    return build_distributions(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def wheel(distributions: tuple[Path, Path]) -> Path:
    """The wheel, built from the source distribution as an installer would."""
    return distributions[0]


@pytest.fixture(scope="session")
def core(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel with its core dependencies only."""
    environment = Environment.create(tmp_path_factory.mktemp("core"))
    environment.pip(str(wheel))
    return environment


@pytest.fixture(scope="session")
def full(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel with every extra."""
    environment = Environment.create(tmp_path_factory.mktemp("full"))
    environment.pip(f"{wheel}[all]")
    return environment
