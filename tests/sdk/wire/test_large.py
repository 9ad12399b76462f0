"""Large JSON is read in steps, and gives the same as in one go."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from deepthrift._wire.events import large
from deepthrift._wire.events.chunk import parse_chunk
from deepthrift._wire.events.large import LARGE, load_json, off_loop, read_model, sized
from deepthrift.errors import MalformedResponse

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(), max_size=90),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=20), inner, max_size=6),
    max_leaves=40,
)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "LARGE", 0)
    monkeypatch.setattr(large, "_STEPS", (8, 24))
    monkeypatch.setattr(large, "_STRING", 48)


@pytest.mark.usefixtures("small_steps")
@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_any_value_is_the_same(value: object, escaped: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=escaped, indent=indent).encode("utf-8", "replace")
    assert load_json(text) == json.loads(text)


@pytest.mark.usefixtures("small_steps")
@given(VALUES, st.integers(0, 300), st.sampled_from(["", '"', "}", "]", "\\", "0"]))
def test_damaged_json_is_refused_as_usual(value: object, at: int, tail: str) -> None:
    text = (json.dumps(value)[:at] + tail).encode()
    try:
        wanted: object = json.loads(text)
    except ValueError:
        with pytest.raises(json.JSONDecodeError):
            load_json(text)
    else:
        assert load_json(text) == wanted


@pytest.mark.parametrize("character", ["a", "é\n", "\U0001f600", '\\"', "你"])
@pytest.mark.parametrize("escaped", [True, False])
def test_long_strings(character: str, escaped: bool) -> None:
    text = json.dumps({"a": character * 400_000}, ensure_ascii=escaped).encode()
    assert len(text) > LARGE
    assert load_json(text) == {"a": character * 400_000}


def test_bombs_of_values_and_of_depth_are_refused() -> None:
    with pytest.raises(MalformedResponse):
        parse_chunk(b'{"choices":' + b"[" * LARGE)
    with pytest.raises(ValueError, match="values"):
        load_json(b"[" + b"0," * 8_100_000 + b"0]")


class _Names(BaseModel):
    names: list[str]


async def test_large_bodies_are_read_in_a_thread_and_small_ones_at_once() -> None:
    here, places = threading.get_ident(), []

    def work(data: bytes) -> _Names:
        places.append(threading.get_ident())
        return read_model(_Names, data)

    for names in (["a"], ["a" * LARGE]):
        data = json.dumps({"names": names}).encode()
        assert (await sized(len(data), work, data)).names == names
    assert places[0] == here != places[1]


async def test_a_cancellation_waits_for_the_work() -> None:
    started, go, done = asyncio.Event(), threading.Event(), []
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(started.set)
        go.wait()
        done.append(1)

    task = asyncio.create_task(off_loop(work))
    await started.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    loop.call_soon(go.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [1]
