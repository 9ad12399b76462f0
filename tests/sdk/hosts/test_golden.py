"""The golden files: what each host is sent in each mode, and an answer and a stream in that host's own shape.

`make hosts` writes them from the hosts' TOML files. Read their diff: it shows what a change of a profile changes on
the wire.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deepthrift_pricing import Mode
from tests.sdk.hosts.rows import ROWS, golden
from tests.support.bill_server import BillServer, RawBody
from tests.support.doors import Door, ask
from tools import hosts
from tools.host_fixtures import MODES

CACHED = {"bare": 0}
"""Cache hits that usage of a shape tells; 3 where it tells of them."""


def test_what_follows_from_the_profiles_is_written() -> None:
    stale = sorted(str(path.relative_to(hosts.ROOT)) for path in hosts.stale())
    assert not stale, f"{', '.join(stale)} do not follow from sdk/deepthrift/hosts/*.toml: run `make hosts`"


def test_a_new_profile_without_its_files_fails_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in hosts.FOLDER.glob("*.toml"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "new-host.toml").write_text('name = "new-host"\n', encoding="utf-8")
    monkeypatch.setattr(hosts, "FOLDER", tmp_path)
    with pytest.raises(AssertionError, match=r"golden/new-host\.json.* run `make hosts`"):
        test_what_follows_from_the_profiles_is_written()


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
