"""Modules that need an extra."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

import pytest

from deepthrift.errors import MissingExtra


def import_module(name: str) -> ModuleType:
    """The module. Without its extra the test is skipped; in continuous integration (`CI=true`) it fails."""
    try:
        return importlib.import_module(name)
    except MissingExtra as error:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(str(error))
        pytest.skip(str(error))
