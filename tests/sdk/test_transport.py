"""Connections: reused last in first out, let go in the background, never lost to a cancellation."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import httpx
import pytest
import respx

from deepthrift import AsyncClient
from deepthrift._net.choose import transport_for
from deepthrift._net.network import Network
from deepthrift._net.sender import RequestBody, Sender
from deepthrift._net.transport import OriginTransport
from deepthrift.errors import ConfigurationError, ConnectionFailed
from tests.sdk.raw_server import END, part, plain, raw_server, stream_head
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import settings, through_async
from tests.support.waiting import until

ANSWER = plain(b'{"choices":[{"message":{"content":"Paris."},"finish_reason":"stop"}]}')


async def get(transport: OriginTransport, url: str) -> bytes:
    response = await transport.handle_async_request(httpx.Request("GET", url))
    try:
        return await response.aread()
    finally:
        await response.aclose()


async def test_the_connection_used_last_is_used_next() -> None:
    async with raw_server([0.05, ANSWER]) as server:
        transport = OriginTransport(server.url)
        await asyncio.gather(*[get(transport, server.url) for _ in range(5)])
        assert (server.connections, transport.idle) == (5, 5)
        for _ in range(10):
            await get(transport, server.url)
        assert (server.connections, transport.idle) == (5, 5)
        await transport.aclose()
        assert transport.idle == 0


async def test_idle_connections_end_after_their_time() -> None:
    async with raw_server([ANSWER]) as server:
        transport = OriginTransport(server.url, keepalive=0.1)
        await get(transport, server.url)
        assert transport.idle == 1
        while transport.idle or server.open:
            await asyncio.sleep(0.02)
        await get(transport, server.url)
        assert server.connections == 2
        await transport.aclose()


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    async with raw_server([ANSWER, None]) as server:
        transport = OriginTransport(server.url)
        await get(transport, server.url)
        # The server waits for the client to leave; a second server restart is the same to the client.
        connection = transport._free[-1].connection
        stream: Any = connection._connection._network_stream  # type: ignore[union-attr]
        await stream.aclose()
        await get(transport, server.url)
        assert server.connections == 2
        await transport.aclose()


async def test_the_limit_makes_requests_wait_and_cancelled_waiters_leave_no_hole() -> None:
    async with raw_server([0.05, ANSWER]) as server:
        transport = OriginTransport(server.url, limit=2)
        waiting = [asyncio.create_task(get(transport, server.url)) for _ in range(8)]
        await until(lambda: server.open == 2)
        for task in waiting[3:6]:
            task.cancel()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert sum(isinstance(result, bytes) for result in done) == 5
        assert server.connections <= 2
        assert transport.places == 2
        await transport.aclose()


@pytest.mark.parametrize("when", [0.0, 0.001, 0.01, 0.04])
async def test_cancellation_at_any_moment_gives_the_place_back(when: float) -> None:
    async with raw_server([0.02, stream_head(), part(b"x"), 0.02, part(b"y"), END]) as server:
        transport = OriginTransport(server.url, limit=4)
        for _ in range(5):
            tasks = [asyncio.create_task(get(transport, server.url)) for _ in range(8)]
            await asyncio.sleep(when)
            for task in tasks:
                task.cancel()
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert transport.places == 4
        assert await get(transport, server.url) == b"xy"
        await transport.aclose()
        while server.open:
            await asyncio.sleep(0.01)


async def test_an_abandoned_body_closes_its_connection() -> None:
    async with raw_server([stream_head(), part(b"x"), None]) as server:
        transport = OriginTransport(server.url)
        response = await transport.handle_async_request(httpx.Request("GET", server.url))
        await response.aclose()
        assert transport.idle == 0
        while not server.left:
            await asyncio.sleep(0.01)
        await transport.aclose()


async def test_another_origin_is_refused_and_so_is_a_closed_transport() -> None:
    transport = OriginTransport("http://127.0.0.1:1/v1")
    with pytest.raises(httpx.UnsupportedProtocol):
        await get(transport, "http://127.0.0.1:2/v1")
    await transport.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        await get(transport, "http://127.0.0.1:1/v1")


async def test_low_level_errors_are_httpx_ones() -> None:
    async with raw_server([b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", 0.01]) as server:
        transport = OriginTransport(server.url)
        async with raw_server([b"nonsense\r\n\r\n"]) as other:
            wrong = OriginTransport(other.url)
            with pytest.raises(httpx.RemoteProtocolError):
                await get(wrong, other.url)
            await wrong.aclose()
        with pytest.raises(httpx.ConnectError):
            await get(OriginTransport("http://127.0.0.1:1"), "http://127.0.0.1:1")
        await transport.aclose()


async def test_ipv6_and_a_host_header_with_the_port() -> None:
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(ANSWER)
        await reader.read()
        writer.close()

    try:
        listening = await asyncio.start_server(serve, "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    port = listening.sockets[0].getsockname()[1]
    async with AsyncClient(**settings(f"http://[::1]:{port}/v1")) as client:
        assert (await client.chat("Capital of France?", max_tokens=5)).text == "Paris."
    assert f"host: [::1]:{port}\r\n".encode() in requests[0].lower()
    listening.close()


async def test_certificates_are_verified() -> None:
    """An https URL at a port that speaks plain HTTP cannot be told from an attack, and is refused."""
    async with BillServer() as server:  # hangs up on a TLS greeting
        async with AsyncClient(**settings(server.url.replace("http:", "https:"), max_retries=0)) as client:
            with pytest.raises(ConnectionFailed, match="no connection"):
                await client.chat("Capital of France?", max_tokens=5)
        transport = OriginTransport("https://127.0.0.1:1")
        context = (transport._fresh(), transport._ssl)[1]
        assert context is not None
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname


def test_proxies_are_taken_from_the_argument_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    direct = httpx.URL("https://api.example.com/v1")

    def proxy_for(url: httpx.URL | str, proxy: str | None = None) -> str | None:
        found = transport_for(httpx.URL(url), Network(proxy=proxy))._proxy
        return None if found is None else str(found.url)

    assert proxy_for(direct) is None
    assert proxy_for(direct, "http://127.0.0.1:3129") == "http://127.0.0.1:3129"
    monkeypatch.setenv("https_proxy", "127.0.0.1:3128")
    assert proxy_for(direct) == "http://127.0.0.1:3128"
    assert proxy_for("http://127.0.0.1:8000/v1") is None
    monkeypatch.setenv("no_proxy", "example.com")
    assert proxy_for(direct) is None
    monkeypatch.setenv("no_proxy", "*")
    assert proxy_for(direct) is None


async def test_a_proxy_sees_the_request() -> None:
    async with (
        raw_server([ANSWER]) as proxy,
        AsyncClient(**settings("http://gpu-box.example:8000/v1", proxy=proxy.url.removesuffix("/v1"))) as client,
    ):
        assert (await client.chat("Capital of France?", max_tokens=5)).text == "Paris."
        assert proxy.requests[0].startswith(b"POST http://gpu-box.example:8000/v1/chat/completions HTTP/1.1")


@respx.mock
async def test_respx_still_mocks_it() -> None:
    answer = {"choices": [{"message": {"content": "Mocked."}, "finish_reason": "stop"}]}
    route = respx.post("http://gpu-box.example:8000/v1/chat/completions").respond(json=answer)
    async with AsyncClient(**settings("http://gpu-box.example:8000/v1")) as client:
        assert (await client.chat("Hi", max_tokens=5)).text == "Mocked."
    assert route.called


async def test_any_httpx_transport_can_take_its_place() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer key"
        return httpx.Response(200, json={"choices": [{"message": {"content": "Mine."}, "finish_reason": "stop"}]})

    mock = httpx.MockTransport(answer)
    async with AsyncClient(**settings("http://gpu-box.example:8000/v1", transport=mock)) as client:
        assert (await client.chat("Hi", max_tokens=5)).text == "Mine."
        reply = await through_async(client, "Hi", streamed=True, max_tokens=5)
    assert reply.text == "Mine."


async def test_a_compressed_answer_is_read() -> None:
    import gzip

    body = gzip.compress(b'{"choices":[{"message":{"content":"Paris."},"finish_reason":"stop"}]}')
    async with (
        raw_server([plain(body, headers="content-encoding: gzip\r\n")]) as server,
        AsyncClient(**settings(server.url)) as client,
    ):
        assert (await client.chat("Capital of France?", max_tokens=5)).text == "Paris."


async def test_a_drain_is_bounded_in_bytes() -> None:
    """An endpoint that goes on talking after the end mark loses its connection, and costs nobody anything."""
    async with raw_server([stream_head(), *[part(b"x" * 20_000)] * 10, None]) as server:
        transport = OriginTransport(server.url)
        endpoint = Sender(server.url, transport, {})
        endpoint.let_go(await endpoint.get("/models"))
        while not server.left:
            await asyncio.sleep(0.01)
        assert transport.idle == 0
        await endpoint.aclose()


async def test_streams_that_are_refused_give_their_connection_back() -> None:
    refusal = plain(b'{"error":"slow down"}', status="429 Too Many Requests")
    async with raw_server([refusal]) as server, AsyncClient(**settings(server.url, max_retries=0)) as client:
        for _ in range(30):
            with pytest.raises(Exception, match="429"):
                await through_async(client, "Hi", streamed=True, max_tokens=5)
        assert server.connections == 1


async def test_plain_answers_reuse_one_connection() -> None:
    async with BillServer(Answer("Paris.")) as server, AsyncClient(**settings(server)) as client:
        for _ in range(20):
            await client.chat("Capital of France?", max_tokens=5)
        assert server.connections == 1


class _Noting(httpx.AsyncBaseTransport):
    """Answers nothing, and notes that it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        raise httpx.ConnectError("nobody is there")


@pytest.mark.parametrize("first", ["cancelled", "free"])
async def test_a_cancellation_that_comes_as_a_connection_gets_free_is_not_lost(first: str) -> None:
    """Else a call that was cancelled would be sent all the same."""
    transport = _Noting()
    endpoint = Sender("http://127.0.0.1:9/v1", transport, {})
    endpoint._draining = 1
    sending = asyncio.create_task(endpoint.send("/x", RequestBody(b"{}"), 2, {}))
    for _ in range(3):
        await asyncio.sleep(0)
    if first == "cancelled":
        sending.cancel()
    endpoint._drained.set()
    if first == "free":
        sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert transport.asked == 0
