"""The golden files: what each host is sent in each mode, and an answer and a stream in that host's own shape.

They are the wire forms of the hosts' documentation; change them only with a source.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deepthrift.hosts import HostProfile
from deepthrift_pricing import Mode
from tests.sdk.hosts.rows import ROWS
from tests.sdk.hosts.test_profiles import MODES, request_of
from tests.support.bill_server import BillServer, RawBody
from tests.support.doors import Door, ask

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.name.removesuffix(".json") for path in GOLDEN.glob("*.json"))
CACHED = {"bare": 0}
"""Cache hits that usage of a shape tells; 3 where it tells of them."""


def golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return found


def test_every_profile_has_a_golden_file() -> None:
    assert sorted(HostProfile.names()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_what_each_host_is_sent(name: str) -> None:
    held, profile = golden(name), HostProfile.named(name)
    for mode in MODES:
        assert request_of(profile, mode, stream=False) == held[mode]
        assert request_of(profile, mode, stream=True) == held[f"{mode}, streamed"]


@pytest.mark.parametrize("door", ["async", "async stream"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.host)
async def test_what_each_host_answers(row: Any, door: Door) -> None:
    held = golden(row.host)
    modes: list[Mode] = [mode for mode in MODES if f"{mode} answer" in held]
    bodies = [
        "\n".join(held[f"{mode} stream"]).encode() + b"\n" if "stream" in door else json.dumps(held[f"{mode} answer"])
        for mode in modes
    ]
    raw = [RawBody(body if isinstance(body, bytes) else body.encode()) for body in bodies]
    async with BillServer(raw) as server:
        for mode in modes:
            reply = await ask(door, server, "Hi", mode=mode, max_tokens=50, client={"host": row.host, "model": None})
            thought = mode == "thinking"
            assert (reply.text, reply.reasoning) == ("Paris.", "France is asked for." if thought else None)
            assert (reply.mode, reply.finish_reason, reply.warnings) == (mode, "stop", ())
            assert reply.usage.certainty == reply.cost.certainty == "exact"
            assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (11, 6 if thought else 2)
            assert reply.usage.cache_hit_tokens == CACHED.get(row.usage, 3)
            assert (reply.usage.reasoning_tokens > 0) is thought
