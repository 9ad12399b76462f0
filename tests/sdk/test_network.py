"""Proxies, certificates and idle connections, as users of httpx expect them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
import trustme

from deepthrift import AsyncClient
from deepthrift._net.sender import RequestBody
from deepthrift._net.transport import OriginTransport
from deepthrift.errors import ConfigurationError, ConnectionFailed
from tests.sdk.raw_server import plain, raw_server
from tests.support.bill_server import Answer, BillServer
from tests.support.doors import Door, ask, every_door, settings
from tests.support.waiting import turns

ANSWER = plain(b'{"choices":[{"message":{"content":"Paris."},"finish_reason":"stop"}]}')
Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def authority_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@asynccontextmanager
async def listening(serve: Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on loopback; its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await serve(reader, writer)
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(quietly(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await turns()  # closed connections end with the next turn of the loop


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while head := await reader.readuntil(b"\r\n\r\n"):
        size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(size)
        writer.write(ANSWER)


def server_context(authority: trustme.CA, *, wants_client: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if wants_client:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
    return context


async def paris(url: str, **client: Any) -> str:
    async with AsyncClient(**settings(url, max_retries=0, **client)) as opened:
        return (await opened.chat("Capital of France?", max_tokens=5)).text


@every_door
async def test_an_authority_of_ones_own_is_trusted_when_named(
    door: Door, authority: trustme.CA, authority_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server runs in a thread of its own for the synchronous doors."""
    async with listening(answer, server_context(authority)) as port:
        url = f"https://127.0.0.1:{port}/v1"
        with pytest.raises(ConnectionFailed, match="certificate verify failed"):
            await ask(door, url, "Hi", max_tokens=5, client={"max_retries": 0})
        assert (await ask(door, url, "Hi", max_tokens=5, client={"verify": authority_file})).text == "Paris."
        monkeypatch.setenv("SSL_CERT_FILE", str(authority_file))
        assert (await ask(door, url, "Hi", max_tokens=5)).text == "Paris."


async def test_every_form_of_verify(authority: trustme.CA, authority_file: Path) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with listening(answer, server_context(authority)) as port:
        url = f"https://127.0.0.1:{port}/v1"
        for verify in (context, str(authority_file), False):
            assert await paris(url, verify=verify) == "Paris."
        with pytest.raises(ConnectionFailed, match="certificate verify failed"):
            await paris(url, verify=True)
        with pytest.raises(ConnectionFailed, match="certificate verify failed"):
            await paris(url.replace("127.0.0.1", "localhost"), verify=context)


async def test_a_client_certificate_is_shown(authority: trustme.CA, authority_file: Path, tmp_path: Path) -> None:
    own = authority.issue_cert("client@example.org")
    both, cert, key = tmp_path / "both.pem", tmp_path / "cert.pem", tmp_path / "key.pem"
    own.private_key_and_cert_chain_pem.write_to_path(both)
    own.cert_chain_pems[0].write_to_path(cert)
    own.private_key_pem.write_to_path(key)
    async with listening(answer, server_context(authority, wants_client=True)) as port:
        url = f"https://127.0.0.1:{port}/v1"
        with pytest.raises(ConnectionFailed):
            await paris(url, verify=authority_file)
        for form in (both, str(both), (cert, key)):
            assert await paris(url, verify=authority_file, cert=form) == "Paris."


@pytest.mark.parametrize("wrong", [{"verify": "/nowhere/ca.pem"}, {"cert": "/nowhere/cert.pem"}])
async def test_a_missing_certificate_is_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="certificates cannot be read"):
        await paris("https://127.0.0.1:1/v1", **wrong)


class Proxy:
    """A proxy that tunnels and forwards, for those who know the password."""

    def __init__(self, password: str | None = None) -> None:
        self.asked: list[bytes] = []
        self._wanted = None if password is None else base64.b64encode(b"user:" + password.encode())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b" ", 2)
        self.asked.append(method + b" " + target)
        if self._wanted is not None and b"proxy-authorization: basic " + self._wanted.lower() not in head.lower():
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            return
        if method != b"CONNECT":
            writer.write(ANSWER)
            await reader.read()
            return
        _, _, port = target.rpartition(b":")
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await self.pump(reader, writer, int(port))

    @staticmethod
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)

        async def one(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        try:
            await asyncio.gather(one(reader, back), one(there, writer), return_exceptions=True)
        finally:
            back.close()


async def test_a_tunnel_through_a_proxy_with_a_password(authority: trustme.CA, authority_file: Path) -> None:
    proxy = Proxy("s3cr/t")
    async with listening(answer, server_context(authority)) as port, listening(proxy.serve) as through:
        url = f"https://127.0.0.1:{port}/v1"
        with_password = f"http://user:s3cr%2Ft@127.0.0.1:{through}"
        assert await paris(url, verify=authority_file, proxy=with_password) == "Paris."
        assert proxy.asked == [f"CONNECT 127.0.0.1:{port}".encode()]
        with pytest.raises(ConnectionFailed, match="407") as refused:
            await paris(url, verify=authority_file, proxy=f"http://user:wrong-word@127.0.0.1:{through}")
        assert "wrong-word" not in f"{refused.value!r} {refused.value} {refused.value.__cause__!r}"
        with pytest.raises(ConnectionFailed, match="certificate verify failed"):
            await paris(url, proxy=with_password)


async def test_many_calls_share_the_tunnels_and_cancelled_ones_leave_no_hole(
    authority: trustme.CA, authority_file: Path
) -> None:
    proxy = Proxy()
    async with listening(answer, server_context(authority)) as port, listening(proxy.serve) as through:
        url, named = f"https://127.0.0.1:{port}/v1", f"http://127.0.0.1:{through}"
        async with AsyncClient(**settings(url, verify=authority_file, proxy=named)) as client:
            for _ in range(10):
                await client.chat("Hi", max_tokens=5)
            assert len(proxy.asked) == 1
            for number in range(20):
                task = asyncio.create_task(client.chat("Hi", max_tokens=5))
                await turns(number)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            assert (await client.chat("Hi", max_tokens=5)).text == "Paris."


@pytest.mark.parametrize(("name", "bypass"), [("HTTP_PROXY", ""), ("http_proxy", "other.example")])
async def test_a_proxy_of_the_environment(name: str, bypass: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(each, raising=False)
    proxy = Proxy("word")
    async with listening(proxy.serve) as through:
        monkeypatch.setenv(name, f"http://user:word@127.0.0.1:{through}")
        monkeypatch.setenv("NO_PROXY", bypass)
        assert await paris("http://gpu-box.example:8000/v1") == "Paris."
        assert proxy.asked == [b"POST http://gpu-box.example:8000/v1/chat/completions"]


async def test_a_socks_proxy() -> None:
    async def socks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, methods = await reader.readexactly(2)
        assert 2 in await reader.readexactly(methods)
        writer.write(b"\x05\x02")
        _, size = await reader.readexactly(2)
        assert await reader.readexactly(size) == b"user"
        assert await reader.readexactly((await reader.readexactly(1))[0]) == b"word"
        writer.write(b"\x01\x00")
        *_, kind = await reader.readexactly(4)
        assert kind in (1, 3)
        await reader.readexactly(4 if kind == 1 else (await reader.readexactly(1))[0])
        port = int.from_bytes(await reader.readexactly(2), "big")
        writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        await Proxy.pump(reader, writer, port)

    async with BillServer(Answer("Paris.")) as server, listening(socks) as through:
        assert await paris(server.url, proxy=f"socks5://user:word@127.0.0.1:{through}") == "Paris."


@pytest.mark.parametrize("wrong", ["ftp://proxy", "http://", "proxy:3128", "http://[::1"])
async def test_a_wrong_proxy_is_told_without_its_password(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="proxy"):
        await paris("http://127.0.0.1:1/v1", proxy=wrong)


async def test_a_connection_that_the_server_closed_meanwhile_is_no_failure() -> None:
    """uvicorn closes idle connections after five seconds, nginx after 75; this one after no time at all."""
    async with raw_server([ANSWER]) as server:

        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)

        async with listening(once) as port, AsyncClient(**settings(f"http://127.0.0.1:{port}/v1")) as client:
            for _ in range(5):
                reply = await client.chat("Hi", max_tokens=5)
                assert [attempt.status for attempt in reply.attempts] == ["settled"]
                await turns()
        assert server.connections == 0


async def test_a_request_whose_body_was_not_asked_for_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server closes in the moment between the look at the connection and its use."""
    async with raw_server([ANSWER]) as server:
        transport = OriginTransport(server.url)

        async def post() -> tuple[bytes, bool]:
            body = RequestBody(b"{}")
            request = httpx.Request(
                "POST", server.url, headers={"host": "127.0.0.1", "content-length": "2"}, stream=body
            )
            response = await transport.handle_async_request(request)
            data = await response.aread()
            await response.aclose()
            return data, body.sent

        await post()
        connection: Any = transport._free[-1].connection
        broken = connection._connection._network_stream

        async def write(data: bytes, timeout: float | None = None) -> None:
            import httpcore

            await broken.aclose()
            raise httpcore.WriteError("broken pipe")

        monkeypatch.setattr(broken, "write", write)
        assert (await post())[1]
        assert (server.connections, len(server.requests)) == (2, 2)
        await transport.aclose()


async def test_the_server_says_how_long_it_keeps_a_connection() -> None:
    quick = plain(b"{}", headers="Keep-Alive: timeout=1, max=5\r\n")
    async with raw_server([quick]) as server:
        transport = OriginTransport(server.url)
        for _ in range(2):
            response = await transport.handle_async_request(httpx.Request("GET", server.url))
            await response.aread()
            await response.aclose()
        assert server.connections == 2
        await transport.aclose()


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "DEEPSEEK_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_environment_names_endpoint_and_key(no_environment: pytest.MonkeyPatch) -> None:
    def key(*url: str, **given: Any) -> str | None:
        client = AsyncClient(*url, model="m", **given)
        found = client._session.targets.first.key
        asyncio.run(client.aclose())
        return found

    with pytest.raises(ConfigurationError, match="give the endpoint's URL"):
        AsyncClient(model="m")
    no_environment.setenv("OPENAI_BASE_URL", "http://gpu-box:9999/v1")
    no_environment.setenv("OPENAI_API_KEY", "open")
    no_environment.setenv("DEEPSEEK_API_KEY", "deep")
    assert key() == "open"
    assert key("http://elsewhere:9999/v1") is None
    assert key("https://api.deepseek.com/v1", host="deepseek-v4") == "deep"
    assert key("https://api.deepseek.com/v1", host="deepseek-v4", api_key="mine") == "mine"
