"""HTTP/2, for who asks for it: one connection, cancelled streams reset, and nothing lost to them."""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import Any

import pytest
import trustme

from deepthrift import AsyncClient
from deepthrift._net.http2 import Http2Connection
from deepthrift._net.multiplexed import Http2Transport
from deepthrift.errors import ConnectionFailed, MissingExtra, StatusError, StreamInterrupted
from deepthrift_pricing import Ledger
from tests.sdk.test_network import answer, listening
from tests.support.doors import MODEL, Door, ask, every_door, prices, settings, through_async
from tests.support.http2_server import Behaviour, Http2Server, http2_server
from tests.support.waiting import turns

CANCEL = 8


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def client(server: Http2Server, trust: ssl.SSLContext, **changes: Any) -> AsyncClient:
    return AsyncClient(**settings(server.url, verify=trust, http2=True, **changes))


def connection(opened: AsyncClient) -> Http2Connection:
    core = opened._session.target
    assert core is not None
    transport = core.sender._transport
    assert isinstance(transport, Http2Transport)
    assert transport._shared is not None
    return transport._shared


@every_door
async def test_it_answers_like_any_other(door: Door, authority: trustme.CA, trust: ssl.SSLContext) -> None:
    streamed = door.endswith("stream")
    async with http2_server(Http2Server(authority, lambda _: "stream" if streamed else "answer")) as server:
        reply = await ask(door, server.url, "Hi", max_tokens=9, client={"verify": trust, "http2": True})
        assert reply.text == (" the the the" if streamed else "Paris.")
        assert reply.usage.prompt_tokens == 5
        [request] = server.requests
        assert (request[":method"], request[":path"]) == ("POST", "/v1/chat/completions")
        assert request["authorization"] == "Bearer key"
        assert int(request["content-length"]) == len(server.bodies[0])
        assert MODEL.encode() in server.bodies[0]


async def test_many_calls_share_one_connection_and_the_servers_limit(
    authority: trustme.CA, trust: ssl.SSLContext
) -> None:
    async with (
        http2_server(Http2Server(authority, lambda number: "stream", most_streams=4)) as server,
        client(server, trust) as opened,
    ):
        calls = [through_async(opened, "Hi", streamed=True, max_tokens=9) for _ in range(24)]
        assert {reply.text for reply in await asyncio.gather(*calls)} == {" the the the"}
        assert server.connections == 1
        assert server.peak <= 4
        assert connection(opened).in_flight == 0


@pytest.mark.parametrize("what", ["hang", "stall"])
async def test_a_cancelled_call_is_reset_and_costs_nobody_a_place(
    what: Behaviour, authority: trustme.CA, trust: ssl.SSLContext
) -> None:
    """Clients that only stop reading hold the connection's places until it has none."""
    server = Http2Server(authority, lambda number: what if number < 30 else "answer", most_streams=3)
    async with http2_server(server), client(server, trust) as opened:
        for number in range(30):
            task = asyncio.create_task(through_async(opened, "Hi", streamed=what == "stall", max_tokens=9))
            while len(server.bodies) <= number:
                await asyncio.sleep(0.001)
            await turns(10 * (number % 3))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for _ in range(5):
            assert (await opened.chat("Hi", max_tokens=9)).text == "Paris."
        assert server.connections == 1
        assert server.resets == [CANCEL] * 30


async def test_a_storm_of_cancellations_leaves_nothing_behind(authority: trustme.CA, trust: ssl.SSLContext) -> None:
    chance = random.Random(2)
    ledger = Ledger.open("memory:")
    server = Http2Server(authority, lambda number: "stream" if number % 2 else "answer", most_streams=20)
    async with http2_server(server), client(server, trust, ledger=ledger) as opened:

        async def one(number: int) -> None:
            try:
                async with asyncio.timeout(chance.uniform(0.0, 0.06)):
                    await through_async(opened, "Hi", streamed=number % 2 == 1, max_tokens=9)
            except (TimeoutError, StreamInterrupted):
                pass

        for _ in range(10):
            await asyncio.gather(*[one(number) for number in range(40)])
        server.script = lambda _: "answer"
        for _ in range(5):
            assert (await opened.chat("Hi", max_tokens=9)).text == "Paris."
        assert connection(opened).in_flight == 0
        assert server.connections == 1
    assert {attempt.status for attempt in ledger.attempts()} <= {"settled", "released", "unknown"}
    ledger.close()


@pytest.mark.parametrize("what", ["refuse", "go away"])
async def test_what_the_server_did_not_look_at_is_sent_again(
    what: Behaviour, authority: trustme.CA, trust: ssl.SSLContext
) -> None:
    server = Http2Server(authority, lambda number: what if number == 1 else "answer")
    async with http2_server(server), client(server, trust, max_retries=0) as opened:
        for _ in range(3):
            reply = await opened.chat("Hi", max_tokens=9)
            assert (reply.text, len(reply.attempts)) == ("Paris.", 1)
        assert len(server.bodies) == 4
        assert server.connections == (2 if what == "go away" else 1)


@pytest.mark.parametrize("what", ["reset", "drop"])
async def test_what_it_may_have_looked_at_is_not(what: Behaviour, authority: trustme.CA, trust: ssl.SSLContext) -> None:
    server = Http2Server(authority, lambda number: what if number == 0 else "answer")
    ledger = Ledger.open("memory:")
    async with http2_server(server), client(server, trust, ledger=ledger) as opened:
        with pytest.raises(ConnectionFailed, match="may be billed"):
            await opened.chat("Hi", max_tokens=9)
        assert (await opened.chat("Hi", max_tokens=9)).text == "Paris."
        assert [attempt.status for attempt in ledger.attempts()] == ["unknown", "settled"]
    ledger.close()


async def test_a_long_prompt_waits_for_the_servers_window(authority: trustme.CA, trust: ssl.SSLContext) -> None:
    async with http2_server(Http2Server(authority)) as server, client(server, trust) as opened:
        prompt = "x" * 300_000
        assert (await opened.chat(prompt, max_tokens=9)).text == "Paris."
        assert prompt.encode() in server.bodies[0]


async def test_a_refusal_that_leaves_the_prompt_unread_is_told_and_costs_no_place(
    authority: trustme.CA, trust: ssl.SSLContext
) -> None:
    server = Http2Server(authority, most_streams=2, impatient=True)
    async with http2_server(server), client(server, trust) as opened:
        for _ in range(4):
            with pytest.raises(StatusError, match="too long") as refused:
                await opened.chat("word " * 100_000, max_tokens=9)
            assert refused.value.status == 413
        server.impatient = False
        assert (await opened.chat("Hi", max_tokens=9)).text == "Paris."
        assert server.connections == 1


async def test_an_idle_connection_ends_after_its_time(authority: trustme.CA, trust: ssl.SSLContext) -> None:
    async with http2_server(Http2Server(authority)) as server, client(server, trust) as opened:
        await opened.chat("Hi", max_tokens=9)
        connection(opened)._close_if_idle()
        while server.open:
            await asyncio.sleep(0.01)
        await opened.chat("Hi", max_tokens=9)
        assert server.connections == 2


async def test_a_server_without_it_is_spoken_to_as_before(authority: trustme.CA, trust: ssl.SSLContext) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with listening(answer, context) as port:
        url = f"https://127.0.0.1:{port}/v1"
        async with AsyncClient(**settings(url, verify=trust, http2=True)) as opened:
            for _ in range(3):
                assert (await opened.chat("Hi", max_tokens=9)).text == "Paris."


async def test_a_certificate_is_verified(authority: trustme.CA) -> None:
    async with http2_server(Http2Server(authority)) as server:
        async with AsyncClient(**settings(server.url, http2=True, max_retries=0)) as opened:
            with pytest.raises(ConnectionFailed, match="certificate verify failed"):
                await opened.chat("Hi", max_tokens=9)
        assert not server.requests
    async with AsyncClient(**settings("https://127.0.0.1:1/v1", http2=True, max_retries=0)) as opened:
        with pytest.raises(ConnectionFailed, match="no connection"):
            await opened.chat("Hi", max_tokens=9)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepthrift._net.network.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"deepthrift\[http2\]"):
        AsyncClient("https://gpu-box/v1", host="vllm", model=MODEL, prices=prices(), http2=True)
