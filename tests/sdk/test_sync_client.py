"""The synchronous door: from scripts, threads, running loops, and under an interrupt."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import signal
import threading
import time

import pytest

from deepthrift import Client, TextDelta
from deepthrift.errors import ConfigurationError, NotFound
from deepthrift_pricing import Ledger
from tests.support.bill_server import Answer, BillServer, Failure
from tests.support.doors import booked, settings
from tests.support.waiting import PATIENCE

HANGING = Answer("Paris.", hold=60.0)


def test_the_same_surface() -> None:
    with BillServer(Answer("Paris."), models=("a",)) as server, Client(**settings(server)) as client:
        assert client.chat("Hi", max_tokens=5).text == "Paris."
        assert client.count("Hi") == client.estimate("Hi", max_tokens=5).prompt_tokens
        assert [str(model) for model in client.models()] == ["a"]
        assert (client.host.name, client.model, client.base_url) == ("vllm", settings("")["model"], server.url)
        assert len(client.prices) == 1
        assert len(client.ledger.attempts()) == 1
        assert repr(client).startswith("<Client vllm")


def test_many_threads_share_one_client() -> None:
    ledger = Ledger.open("memory:")
    with (
        BillServer(Answer("Paris.", delay=0.02)) as server,
        Client(**settings(server, ledger=ledger)) as client,
        concurrent.futures.ThreadPoolExecutor(16) as pool,
    ):
        replies = list(pool.map(lambda _: client.chat("Hi", max_tokens=5), range(64)))
        assert {reply.text for reply in replies} == {"Paris."}
        assert server.peak_in_flight > 4
        assert booked(ledger) == server.bill.total
    ledger.close()


async def test_it_works_inside_a_running_loop() -> None:
    """As in a notebook: the loop that runs stands still meanwhile, the client's own does not."""
    with BillServer(Answer("Paris.")) as server, Client(**settings(server)) as client:
        assert client.chat("Hi", max_tokens=5).text == "Paris."
        assert [e.text for e in client.stream("Hi", max_tokens=5) if isinstance(e, TextDelta)] == ["Paris."]
        assert (await asyncio.to_thread(client.chat, "Hi", max_tokens=5)).text == "Paris."


@pytest.mark.parametrize("streamed", [False, True])
def test_an_interrupt_ends_the_call_and_books_it(streamed: bool) -> None:
    ledger = Ledger.open("memory:")
    answer = HANGING if not streamed else Answer(" the" * 9, stall_after=3)
    with BillServer(answer) as server, Client(**settings(server, ledger=ledger)) as client:
        arrived = threading.Event()

        def interrupt() -> None:
            server.wait_for(lambda s: bool(s.requests))
            assert not streamed or arrived.wait(PATIENCE)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        threading.Thread(target=interrupt, name="pytest-interrupt").start()

        def call() -> None:
            if not streamed:
                client.chat("Hi", max_tokens=50)
                return
            with client.stream("Hi", max_tokens=50) as stream:
                for number, _ in enumerate(stream):
                    if number >= 3:
                        arrived.set()

        with pytest.raises(KeyboardInterrupt):
            call()
        [attempt] = ledger.attempts()
        assert attempt.status == ("settled" if streamed else "unknown")
        server.quiet()
        assert server.requests[0].disconnected
        server.script = Answer("Paris.")
        assert client.chat("Hi", max_tokens=5).text == "Paris."
    ledger.close()


def test_errors_come_through_with_their_kind() -> None:
    with BillServer(Failure(404, "no such model")) as server, Client(**settings(server)) as client:
        with pytest.raises(NotFound, match="no such model") as wrong:
            client.chat("Hi", max_tokens=5)
        assert wrong.value.attempt_ids
        with pytest.raises(NotFound), client.stream("Hi", max_tokens=5) as stream:
            list(stream)


def test_a_closed_client_says_so() -> None:
    client = Client(**settings("http://gpu-box/v1"))
    client.close()
    client.close()
    with pytest.raises(ConfigurationError, match="closed"):
        client.chat("Hi")


def test_a_wrong_setting_starts_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(ConfigurationError):
        Client("http://gpu-box/v1", host="nowhere")
    assert threading.active_count() == before


def test_a_client_that_is_dropped_ends_its_thread() -> None:
    ledger = Ledger.open("memory:")
    client = Client(**settings("http://gpu-box/v1", ledger=ledger))
    assert any(thread.name == "deepthrift-client" for thread in threading.enumerate())
    del client
    end = time.monotonic() + PATIENCE
    while any(thread.name == "deepthrift-client" for thread in threading.enumerate()) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(thread.name == "deepthrift-client" for thread in threading.enumerate())
    ledger.close()


def test_context_variables_reach_the_transport() -> None:
    import httpx

    user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")

    class Telling(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            choice = {"message": {"content": user.get()}, "finish_reason": "stop"}
            return httpx.Response(200, json={"choices": [choice]})

    with Client(**settings("http://gpu-box/v1", transport=Telling())) as client:
        user.set("Eve")
        assert client.chat("Who am I?", max_tokens=5).text == "Eve"
