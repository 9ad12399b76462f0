"""The synchronous clients are generated from the asynchronous ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepthrift import AsyncClient, Client
from tools.mirror import FILES, generated


@pytest.mark.parametrize("target", FILES, ids=lambda target: target.name)
def test_the_checked_in_client_is_what_the_tool_writes(target: Path) -> None:
    assert target.read_text("utf-8") == generated(target), "run: python tools/mirror.py --write"


def test_the_synchronous_client_has_every_method_of_the_asynchronous_one() -> None:
    public = {name for name in vars(AsyncClient) if not name.startswith("_")}
    own = {name for name in vars(Client) if not name.startswith("_")}
    assert public - own == {"aclose"}
    assert own - public == {"asynchronous", "close", "run"}
