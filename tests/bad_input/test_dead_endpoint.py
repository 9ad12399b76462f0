"""An endpoint that is not there, or is not what it should be: a typed error, and nothing booked that was not billed."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from deepthrift import AsyncClient, Client
from deepthrift.errors import APIError, AttemptTimeout, ConnectionFailed, DeadlineExceeded, DeepthriftError
from deepthrift_pricing import Ledger
from tests.support.bill_server import BillServer
from tests.support.doors import PROMPT, Door, ask, booked, every_door, settings
from tests.support.ports import dead_port
from tests.support.waiting import LIMITS


@every_door
async def test_nothing_listens(door: Door) -> None:
    ledger = Ledger.open("memory:")
    port = dead_port()
    options = {"ledger": ledger, "max_retries": 1, "api_key": "sk-secret-0123456789"}
    with pytest.raises(ConnectionFailed) as failed:
        await ask(door, f"http://127.0.0.1:{port}/v1", max_tokens=50, client=options)
    assert f"127.0.0.1:{port}" in str(failed.value)
    assert "sk-secret" not in f"{failed.value!r} {failed.value}"
    assert failed.value.request is not None
    assert len(failed.value.attempt_ids) == 2
    assert [attempt.status for attempt in ledger.attempts()] == ["released", "released"]
    assert booked(ledger) == 0
    assert not failed.value.spend
    ledger.close()


@every_door
async def test_a_name_that_does_not_resolve(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    ledger = Ledger.open("memory:")
    with pytest.raises(ConnectionFailed, match=r"no-such-host\.invalid"):
        await ask(door, "http://no-such-host.invalid/v1", max_tokens=50, client={"ledger": ledger, "max_retries": 0})
    assert booked(ledger) == 0
    ledger.close()


@every_door
async def test_tls_to_a_server_that_has_none(door: Door) -> None:
    ledger = Ledger.open("memory:")
    async with BillServer() as server:
        url = server.url.replace("http://", "https://")
        with pytest.raises(ConnectionFailed):
            await ask(door, url, max_tokens=50, client={"ledger": ledger, "max_retries": 0})
        assert not server.requests
        server.faults.clear()
    assert booked(ledger) == 0
    ledger.close()


@every_door
async def test_a_server_that_speaks_another_protocol(door: Door) -> None:
    ledger = Ledger.open("memory:")
    with _babbling(b"220 mail.example.com ESMTP ready\r\n\r\n") as url, pytest.raises(DeepthriftError) as failed:
        await ask(door, url, max_tokens=50, client={"ledger": ledger, "max_retries": 0})
    assert isinstance(failed.value, APIError)
    assert ".." not in str(failed.value)
    [attempt] = ledger.attempts()
    assert attempt.status in {"released", "unknown"}
    assert attempt.error == type(failed.value).__name__
    ledger.close()


@every_door
async def test_a_server_that_never_answers(door: Door) -> None:
    for limit in LIMITS:
        ledger = Ledger.open("memory:")
        with _babbling(b"") as url, pytest.raises(AttemptTimeout):
            await ask(door, url, max_tokens=50, timeout=limit, client={"ledger": ledger, "max_retries": 2})
        if len(ledger.attempts()) == 1 and ledger.attempts()[0].status == "unknown":
            break  # else the machine was too busy to send it within the limit
        ledger.close()
    [attempt] = ledger.attempts()
    assert attempt.cost.certainty == "unknown"
    assert attempt.cost.amount > 0
    ledger.close()


@every_door
async def test_a_deadline_ends_the_call_whatever_is_retried(door: Door) -> None:
    port = dead_port()
    with pytest.raises((DeadlineExceeded, ConnectionFailed)):
        await ask(door, f"http://127.0.0.1:{port}/v1", max_tokens=50, deadline=0.7, client={"max_retries": 1000})


async def test_a_closed_client_says_so() -> None:
    async with BillServer() as server:
        client = AsyncClient(**settings(server))
        await client.aclose()
        await client.aclose()
        with pytest.raises(DeepthriftError, match="closed"):
            await client.chat(PROMPT, max_tokens=50)
        sync = Client(**settings(server))
        sync.close()
        sync.close()
        with pytest.raises(DeepthriftError, match="closed"):
            sync.chat(PROMPT, max_tokens=50)
        assert not server.requests


@contextlib.contextmanager
def _babbling(greeting: bytes) -> Iterator[str]:
    """A server that sends `greeting` to everyone, and then nothing until the client leaves."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.sendall(greeting)
                        connection.settimeout(120)
                        while connection.recv(65536):
                            pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(120)
