"""Webhooks are signed, repeated where that helps, and never show their address or secret."""

from __future__ import annotations

import logging
import sys
import types
from datetime import UTC, datetime

import httpx
import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from deepthrift_pricing.alerts import Alert, AppriseSink, LoggingSink, WebhookSink, verify_signature
from deepthrift_pricing.errors import ConfigurationError

ALERT = Alert(
    key='threshold:0.8:{"tags": {"team": "é"}}',
    kind="threshold",
    severity="warning",
    title="80 % of the budget team is spent",
    text="0.08 USD of 0.1 USD are spent.",
    at=datetime(2026, 3, 2, tzinfo=UTC),
)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda seconds: None)


def test_a_webhook_is_signed_and_repeated_until_accepted() -> None:
    seen: list[httpx.Request] = []

    def receive(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response((503, 429, 204)[len(seen) - 1])

    sink = WebhookSink("https://hooks.example/abc", secret="s3cret", transport=httpx.MockTransport(receive))
    sink.send(ALERT)
    sink.close()
    assert len(seen) == 3
    assert len({request.headers["Deepthrift-Alert"] for request in seen}) == 1
    last = seen[-1]
    received = verify_signature(
        "s3cret",
        timestamp=last.headers["Deepthrift-Timestamp"],
        body=last.content,
        signature=last.headers["Deepthrift-Signature"],
    )
    assert received == ALERT
    assert "s3cret" not in repr(sink)
    assert "abc" not in repr(sink)


def test_a_refusal_is_not_repeated_and_an_endless_failure_ends() -> None:
    seen: list[int] = []

    def receive(request: httpx.Request) -> httpx.Response:
        seen.append(1)
        return httpx.Response(403)

    with (
        WebhookSink("https://hooks.example/", secret="s", transport=httpx.MockTransport(receive)) as sink,
        pytest.raises(httpx.HTTPStatusError),
    ):
        sink.send(ALERT)
    assert len(seen) == 1

    def refuse(request: httpx.Request) -> httpx.Response:
        seen.append(1)
        raise httpx.ConnectError("refused")

    with (
        WebhookSink("https://hooks.example/", secret="s", tries=3, transport=httpx.MockTransport(refuse)) as sink,
        pytest.raises(httpx.ConnectError),
    ):
        sink.send(ALERT)
    assert len(seen) == 4


@given(body=st.binary(max_size=60), signature=st.text(max_size=80))
def test_a_forged_message_is_refused(body: bytes, signature: str) -> None:
    with pytest.raises(ValueError, match="signature"):
        verify_signature("s", timestamp="1", body=body, signature=signature)


def test_an_old_message_is_refused() -> None:
    seen: list[httpx.Request] = []

    def receive(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    with WebhookSink("https://hooks.example/", secret="s", transport=httpx.MockTransport(receive)) as sink:
        sink.send(ALERT)
    stamp, signature = seen[0].headers["Deepthrift-Timestamp"], seen[0].headers["Deepthrift-Signature"]
    with pytest.raises(ValueError, match="too old"):
        verify_signature("s", timestamp=stamp, body=seen[0].content, signature=signature, now=float(stamp) + 301)


@pytest.mark.parametrize(
    ("url", "secret"), [("https://x/", ""), ("ftp://x/", "s"), ("http:///hook", "s"), ("hook", "s")]
)
def test_wrong_webhooks_are_refused(url: str, secret: str) -> None:
    with pytest.raises(ConfigurationError):
        WebhookSink(url, secret=secret)


def test_logging_uses_the_severity(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        LoggingSink().send(ALERT)
    assert caplog.record_tuples == [("deepthrift.alerts", logging.WARNING, f"{ALERT.title}. {ALERT.text}")]


def test_apprise_reports_what_was_not_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConfigurationError, match="pip install"):
        AppriseSink(["json://localhost"])

    class Library:
        def __init__(self) -> None:
            self.sent: list[str] = []

        def add(self, servers: str) -> bool:
            return servers.startswith("json:")

        def notify(self, *, body: str, title: str) -> bool:
            self.sent.append(title)
            return len(self.sent) > 1

    module = types.ModuleType("apprise")
    module.__dict__["Apprise"] = Library
    monkeypatch.setitem(sys.modules, "apprise", module)
    with pytest.raises(ConfigurationError, match="does not understand"):
        AppriseSink(["nonsense"])
    sink = AppriseSink(["json://localhost"])
    with pytest.raises(RuntimeError, match="could not deliver"):
        sink.send(ALERT)
    sink.send(ALERT)
