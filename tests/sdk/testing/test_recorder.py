"""Real traffic, recorded without its secrets and replayed offline: what is in the file, and what is never in it."""

from __future__ import annotations

import base64
import json
import stat
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift import AsyncClient
from deepthrift.errors import BadRequest, ConfigurationError, StreamInterrupted
from deepthrift.testing import Recorder, UnmatchedRequest
from deepthrift.testing._scrub import Scrubber
from tests.sdk.raw_server import plain, raw_server
from tests.support.bill_server import Answer, BillServer, Failure
from tests.support.doors import Door, ask, every_door, prices

KEY = "sk-very/secret+0123456789=="


@every_door
async def test_what_was_recorded_is_replayed_without_a_server(door: Door, tmp_path: Path) -> None:
    path = tmp_path / "cassette.jsonl"
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    calls: list[dict[str, Any]] = [{"mode": "thinking"}, {"tools": [tool]}, {}]
    script = [Answer("Paris.", cache_hit=2), Answer("", tool_calls=[("f", '{"a": 1}')]), Failure(400, "no")]

    async def through(url: str, recorder: Recorder) -> list[Any]:
        told: list[Any] = []
        for call in calls:
            try:
                reply = await ask(door, url, "Où ?", client={"transport": recorder, "api_key": KEY}, **call)
                told.append((reply.text, reply.reasoning, reply.tool_calls, reply.usage, reply.cost.total))
            except BadRequest as error:
                told.append((error.status, error.body, error.trace_id))
        return told

    async with BillServer(script) as server:
        recorder = Recorder(path)
        assert recorder.recording
        real = await through(server.url, recorder)
    replayer = Recorder(path)
    assert not replayer.recording
    assert replayer.left == 3
    assert await through("http://nowhere.invalid/v1", replayer) == real
    replayer.assert_all_used()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_replaying_is_strict(tmp_path: Path) -> None:
    path = tmp_path / "cassette.jsonl"
    async with BillServer([Answer("one"), Answer("two")]) as server:
        for _ in range(2):
            await ask("async", server, "Why?", temperature=0, client={"transport": Recorder(path, mode="record")})
    replayer = Recorder(path, mode="replay")
    with pytest.raises(UnmatchedRequest, match=r"differs from what was recorded in temperature; 1 recorded"):
        await ask("async", "http://nowhere.invalid/v1", "Why?", temperature=1, client={"transport": replayer})
    with pytest.raises(UnmatchedRequest, match="1 recorded answers were not asked for, POST /v1/chat/completions"):
        replayer.assert_all_used()
    reply = await ask("async", "http://nowhere.invalid/v1", "Why?", temperature=0, client={"transport": replayer})
    assert reply.text == "two", "recording anew replaces the file"
    with pytest.raises(AssertionError, match="more often than it was then"):
        await ask("async", "http://nowhere.invalid/v1", "Why?", temperature=0, client={"transport": replayer})
    async with AsyncClient("http://nowhere.invalid/v1", host="vllm", prices=prices(), transport=replayer) as client:
        with pytest.raises(UnmatchedRequest, match="GET /v1/models was not recorded"):
            await client.models()


async def test_a_stream_that_was_left_or_lost_ends_there_again(tmp_path: Path) -> None:
    path = tmp_path / "cassette.jsonl"
    async with BillServer(Answer("one two three", cut_after=2)) as server:
        with pytest.raises(StreamInterrupted):
            await ask("async stream", server, "Why?", client={"transport": Recorder(path)})
    with pytest.raises(StreamInterrupted, match="the recording ends here") as broken:
        await ask("async stream", "http://nowhere.invalid/v1", "Why?", client={"transport": Recorder(path)})
    assert broken.value.partial is not None
    assert broken.value.partial.text == "one two"


@every_door
async def test_no_secret_reaches_the_file(door: Door, tmp_path: Path) -> None:
    """The key, cookies and a password come back in the body, in headers, in errors and word by word in the stream."""
    path = tmp_path / "cassette.jsonl"
    basic = base64.b64encode(b"eve:password-of-eve").decode()
    secrets = [KEY, "session-0123456789", "password-of-eve", basic, "other-key-987654", "sk-in-the-answer-42"]
    spread = [KEY[:9], KEY[9:20], KEY[20:], " and sk-in-the", "-answer-42."]
    echo = Answer(
        spread if "stream" in door else "".join(spread),
        headers={"set-cookie": "session=session-0123456789", "x-echo": KEY},
    )
    call: dict[str, Any] = {
        "extra_headers": {"Cookie": "session=session-0123456789", "X-Forwarded-Authorization": f"Basic {basic}"},
        "extra_body": {"api_key": "other-key-987654", "note": f"Bearer {KEY} of eve:password-of-eve"},
    }
    script = [echo, Failure(400, f"the key {KEY} is wrong")]
    client: dict[str, Any] = {"api_key": KEY, "transport": Recorder(path)}
    async with BillServer(script) as server:
        reply = await ask(door, server, f"My key is {KEY}.", client=client, **call)
        assert KEY in reply.text, "only the file is cleaned"
        with pytest.raises(BadRequest):
            await ask(door, server, f"My key is {KEY}.", client=client, **call)
    written = path.read_text("utf-8")
    for secret in secrets:
        assert secret not in written
        assert json.dumps(secret)[1:-1] not in written
    assert "authorization" not in written.lower()
    client["transport"] = replayer = Recorder(path)
    replayed = await ask(door, "http://nowhere.invalid/v1", f"My key is {KEY}.", client=client, **call)
    assert replayed.text == "*** and ***"
    assert replayer.left == 1


async def test_keys_in_the_url_and_packed_answers(tmp_path: Path) -> None:
    """A gateway that takes its key in the query, and one that compresses whatever it was asked for."""
    import gzip

    path = tmp_path / "cassette.jsonl"
    body = gzip.compress(b'{"object": "list", "data": [{"id": "m"}]}')
    answer = plain(body, headers="content-encoding: gzip\r\n")
    async with raw_server([answer]) as server:
        recorder = Recorder(path)
        url = f"{server.url}/models?api_key=query-secret-1&page=2"
        response = await recorder.handle_async_request(httpx.Request("GET", url))
        assert b"".join([part async for part in response.aiter_bytes()]) == gzip.decompress(body)
        await response.aclose()
        await recorder.aclose()
        await recorder.aclose()
    written = path.read_text("utf-8")
    assert "query-secret-1" not in written
    assert "/v1/models?api_key=***&page=2" in written
    replayed = await Recorder(path).handle_async_request(httpx.Request("GET", url))
    assert b'"m"' in await replayed.aread()


@pytest.mark.parametrize("content", ["", "{}", "[1]\n", '{"deepthrift_cassette": 1}\n{"method": 1}\n', "\ufffd"])
def test_what_is_no_cassette_is_told(content: str, tmp_path: Path) -> None:
    path = tmp_path / "cassette.jsonl"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="not a cassette"):
        Recorder(path)


def test_settings_that_cannot_be(tmp_path: Path) -> None:
    wrong: Any = "rewind"
    with pytest.raises(ConfigurationError, match="'rewind'"):
        Recorder(tmp_path / "a.jsonl", mode=wrong)
    with pytest.raises(ConfigurationError, match="not a cassette"):
        Recorder(tmp_path / "a.jsonl", mode="replay")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        Recorder(tmp_path / "no" / "a.jsonl")


SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=";,"), min_size=8, max_size=40)


@given(secret=SECRET, text=st.text(max_size=20), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_a_secret_is_struck_out_wherever_it_is_cut(secret: str, text: str, cuts: list[int]) -> None:
    scrubber = Scrubber()
    headers = {"authorization": f"Bearer {secret}"}
    scrubber.learn(httpx.Request("POST", "http://test.invalid/v1", headers=headers))
    said = f"{text} {secret} {text}"
    marks = sorted({0, len(said), *(cut % len(said) for cut in cuts)})
    pieces = [said[start:end] for start, end in pairwise(marks)]
    stream = "".join(f"data: {json.dumps({'choices': [{'delta': {'content': piece}}]})}\n\n" for piece in pieces)
    cleaned = scrubber.answer(stream.encode())
    events = [json.loads(line[6:]) for line in cleaned.split("\n") if line.startswith("data: ")]
    assert secret not in "".join(event["choices"][0]["delta"]["content"] for event in events)
    assert secret not in json.dumps(scrubber.body(json.dumps({"messages": [said], secret: said}).encode()))
