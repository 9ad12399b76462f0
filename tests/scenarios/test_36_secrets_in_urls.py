"""36. Secrets in a URL's query appear in no repr, error, log or ledger."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from pydantic import BaseModel

from deepthrift import AsyncClient, Client, Endpoint
from deepthrift.errors import ConfigurationError, DeepthriftError
from deepthrift.hosts import HostProfile
from deepthrift.middleware import CallNext, Request, Response
from deepthrift.testing import Recorder
from deepthrift_pricing import Ledger
from deepthrift_pricing.alerts import Alert, WebhookSink
from deepthrift_router import ModeRouter
from deepthrift_router.compat import AsyncOpenAI
from tests.sdk.raw_server import plain, raw_server
from tests.support.doors import MODEL, prices

KEY = "sk-invented%2F0001"
FORMS = ("invented", "other-secret")
QUERY = f"?api-version=2024-05-01&key={KEY}&sig=other-secret-7&other-secret-flag"
DEAD = f"http://127.0.0.1:9/v1{QUERY}"
ANSWER = b'{"choices":[{"message":{"content":"ok"},"finish_reason":"stop"}]}'
Call: TypeAlias = Callable[[AsyncClient], Awaitable[object]]


class Parsed(BaseModel):
    number: int


CALLS: dict[str, Call] = {
    "chat": lambda client: client.chat("hi", max_tokens=5),
    "models": lambda client: client.models(),
    "embeddings": lambda client: client.embed("hi"),
    "routed": lambda client: ModeRouter(client).chat("hi", max_tokens=5),
    "parsed": lambda client: client.parse("hi", into=Parsed, max_tokens=5),
}


def hidden(*shown: object) -> None:
    for text in map(str, shown):
        assert not any(form in text for form in FORMS), text


def options(**changes: Any) -> dict[str, Any]:
    host = HostProfile.named("vllm").model_copy(update={"embeddings": True})
    return {"host": host, "model": MODEL, "prices": prices(), "max_retries": 0, **changes}


async def streamed(client: AsyncClient) -> None:
    async with client.stream("hi", max_tokens=5) as stream:
        async for _ in stream:
            pass


@pytest.mark.parametrize("call", [*CALLS.values(), streamed], ids=[*CALLS, "stream"])
async def test_no_error_shows_them(
    call: Callable[[AsyncClient], Awaitable[object]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with AsyncClient(DEAD, **options()) as client:
        with pytest.raises(DeepthriftError) as error:
            await call(client)
        hidden(repr(client), client.base_url, client.endpoints, client.host)
        hidden([(each, repr(each)) for each in client.ledger.attempts()])
    assert "api-version=2024-05-01" in str(client.base_url), "what is no secret is still told"
    hidden(error.value, repr(error.value), error.value.request)
    hidden("".join(traceback.format_exception(error.value)))
    hidden(caplog.text)


def test_the_sync_client_and_the_settings_show_none() -> None:
    endpoint = Endpoint(DEAD, host="vllm", model=MODEL, api_key="sk-invented-0001")
    with Client(endpoints=[endpoint, Endpoint(DEAD, host="vllm", model=MODEL)], prices=prices()) as client:
        hidden(repr(endpoint), repr(client), client.endpoints)
    assert repr(Endpoint("http://h/v1", model="m")) == "Endpoint('http://h/v1', model='m')"


@pytest.mark.parametrize(
    "url", [f"ftp://h/{QUERY}", f"http://h:port/v1{QUERY}", f"http://user:{KEY}@h/v1", f"/v1{QUERY}", f"http://{QUERY}"]
)
def test_a_url_that_is_refused_is_not_shown_whole(url: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        AsyncClient(url, **options())
    hidden(error.value, "".join(traceback.format_exception(error.value)))


@pytest.mark.parametrize("status", ["200 OK", "400 Bad", "404 Not", "500 No"])
async def test_what_the_endpoint_repeats_is_struck_out(status: str) -> None:
    said = f'{{"error":{{"message":"no route /v1/chat/completions{QUERY} for key sk-invented/0001"}}}}'.encode()
    async with raw_server([plain(said, status=status)]) as server:
        async with AsyncClient(server.url + QUERY, **options()) as client:
            for call in (CALLS["chat"], streamed):
                with pytest.raises(DeepthriftError, match="no route") as error:
                    await call(client)
                hidden(error.value, "".join(traceback.format_exception(error.value)))
        assert b"/v1/chat/completions" + QUERY.encode() in server.requests[0], "the endpoint gets all of it"


async def test_middleware_recordings_and_the_facade(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[Request] = []

    async def keep(request: Request, call_next: CallNext) -> Response:
        seen.append(request)
        return await call_next(request)

    path = tmp_path / "cassette.jsonl"
    async with raw_server([plain(ANSWER)]) as server:
        url = server.url + QUERY
        for mode in ("record", "replay"):
            recorder = Recorder(path, mode=mode)  # type: ignore[arg-type]
            async with AsyncClient(url, **options(transport=recorder, middleware=[keep])) as client:
                assert (await client.chat("hi", max_tokens=5)).text == "ok"
        async with AsyncOpenAI(
            api_key="none", base_url=url, host="vllm", default_model=MODEL, prices=prices()
        ) as openai:
            answer = await openai.chat.completions.create(model="auto", messages=[{"role": "user", "content": "hi"}])
            assert answer.choices[0].message.content == "ok"
            hidden(openai.base_url)
    hidden(path.read_text("utf-8"), seen, [request.url for request in seen], caplog.text)


def test_a_ledger_in_a_database_shows_no_password() -> None:
    for url in (
        "postgresql://me:other-secret@127.0.0.1:9/db",
        "postgresql://me:other-secret%40%2F%3F%23x@127.0.0.1:9/db?schema=a",
        "postgresql://me:%zzother-secret@127.0.0.1:9/db",
        "postgresql://127.0.0.1:9/db?user=me&password=other-secret",
    ):
        with pytest.raises(DeepthriftError) as error:
            Ledger.open(url)
        hidden("".join(traceback.format_exception(error.value)))


async def test_an_alert_logs_no_address(caplog: pytest.LogCaptureFixture) -> None:
    """The address of a webhook is a secret as a whole: whoever has it can post."""
    caplog.set_level(logging.DEBUG)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    alert = Alert(key="k", kind="threshold", severity="info", title="t", text="x", at=at)
    async with raw_server([plain(b"{}")]) as server:
        sink = WebhookSink(f"{server.url}/other-secret{QUERY}", secret="s")
        await asyncio.to_thread(sink.send, alert)
        sink.close()
        assert b"/other-secret" in server.requests[0]
    hidden(caplog.text)
