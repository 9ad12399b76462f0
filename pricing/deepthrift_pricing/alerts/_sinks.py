"""Where alerts go."""

from __future__ import annotations

import hashlib
import hmac
import importlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, Self

from deepthrift_pricing._store.quiet import quiet
from deepthrift_pricing._values.errors import ConfigurationError
from deepthrift_pricing.alerts._alert import Alert

if TYPE_CHECKING:
    import httpx

_LOG: Final = logging.getLogger("deepthrift.alerts")
_LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.CRITICAL}


class Sink(Protocol):
    """Anything that can deliver an alert. `send` runs in a thread of its own and raises if it could not deliver."""

    @property
    def name(self) -> str:
        """Tells sinks apart in the ledger: each alert goes once to each name."""
        ...

    def send(self, alert: Alert) -> None:
        """Deliver one alert."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


class _ClosableSink:
    def close(self) -> None:
        """Nothing to give back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class CallbackSink(_ClosableSink):
    """Calls a function with the alert."""

    def __init__(self, function: Callable[[Alert], object], *, name: str = "callback") -> None:
        self.name = name
        self._function = function

    def send(self, alert: Alert) -> None:
        """Call the function."""
        self._function(alert)


class LoggingSink(_ClosableSink):
    """Writes to the standard library's logging, by default to the logger `deepthrift.alerts`."""

    def __init__(self, logger: logging.Logger | None = None, *, name: str = "logging") -> None:
        self.name = name
        self._logger = logger or _LOG

    def send(self, alert: Alert) -> None:
        """Write one record; the alert's severity is its level."""
        self._logger.log(_LEVELS[alert.severity], "%s. %s", alert.title, alert.text)


class WebhookSink(_ClosableSink):
    """Posts the alert as JSON, signed, and tries again where that can help.

    The headers are `Deepthrift-Alert` (the alert's key, the same in every try, so that the receiver can drop a second
    copy), `Deepthrift-Timestamp` (seconds since 1970) and `Deepthrift-Signature`: `sha256=` and the HMAC-SHA256 of
    timestamp, a full stop and the body, in hexadecimal, with `secret` as the key. `verify_signature` checks it.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str,
        name: str = "webhook",
        timeout: float = 10.0,
        tries: int = 5,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Posts to `url`; `timeout` is in seconds for one try.

        Raises:
            ConfigurationError: The secret is empty, or the URL is no HTTP URL.
        """
        import httpx

        if not secret:
            raise ConfigurationError("a webhook needs a secret, or nobody can tell its alerts from forged ones")
        try:
            address = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ConfigurationError("the webhook's address is no URL; write it as https://example.com/hook") from error
        if address.scheme not in ("http", "https") or not address.host:
            raise ConfigurationError("a webhook needs a URL such as https://example.com/hook")
        self.name = name
        self._url = url
        self._secret = secret.encode()
        self._tries = tries
        self._client = httpx.Client(timeout=timeout, transport=transport, event_hooks={"request": [quiet]})

    def send(self, alert: Alert) -> None:
        """Post until it is accepted; a refusal (4xx but 408 and 429) is not repeated.

        Raises:
            httpx.HTTPError: It was not accepted.
        """
        import httpx
        from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

        body = alert.model_dump_json().encode()

        def may_help(error: BaseException) -> bool:
            if isinstance(error, httpx.HTTPStatusError):
                return error.response.status_code in (408, 429) or error.response.status_code >= 500
            return isinstance(error, httpx.TransportError)

        wait = wait_random_exponential(multiplier=0.5, max=30.0)
        for attempt in Retrying(
            stop=stop_after_attempt(self._tries), wait=wait, retry=retry_if_exception(may_help), reraise=True
        ):
            with attempt:
                stamp = str(int(time.time()))
                headers = {
                    "Content-Type": "application/json",
                    # A key may hold any text of a tag; a header may not.
                    "Deepthrift-Alert": hashlib.sha256(alert.key.encode()).hexdigest(),
                    "Deepthrift-Timestamp": stamp,
                    "Deepthrift-Signature": _signature(self._secret, stamp, body),
                }
                # The answer's body is of no use, and may be endless: it is not read.
                with self._client.stream("POST", self._url, content=body, headers=headers) as answer:
                    answer.raise_for_status()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __repr__(self) -> str:
        return f"<WebhookSink {self.name!r}>"  # the URL of a webhook is often a secret itself


class _Apprise(Protocol):
    """The part of `apprise.Apprise` that is used here."""

    def add(self, servers: str) -> bool: ...

    def notify(self, *, body: str, title: str) -> object: ...


class AppriseSink(_ClosableSink):
    """Mail, Slack, Telegram and a hundred others through the `apprise` library: `pip install deepthrift[alerts]`.

    Args:
        urls: Addresses in Apprise's own form, such as `mailto://user:pass@example.com`.
    """

    def __init__(self, urls: Sequence[str], *, name: str = "apprise") -> None:
        try:
            library = importlib.import_module("apprise")
        except ImportError as error:
            raise ConfigurationError("apprise is not installed: pip install 'deepthrift[alerts]'") from error
        self.name = name
        self._apprise: _Apprise = library.Apprise()
        for url in urls:
            if not self._apprise.add(url):
                raise ConfigurationError("apprise does not understand one of the addresses; see its list of services")

    def send(self, alert: Alert) -> None:
        """Notify every address.

        Raises:
            RuntimeError: At least one did not accept it.
        """
        if not self._apprise.notify(title=alert.title, body=alert.text):
            raise RuntimeError("apprise could not deliver to every address; its log says why")


def _signature(secret: bytes, stamp: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def verify_signature(
    secret: str, *, timestamp: str, body: bytes, signature: str, tolerance: float = 300.0, now: float | None = None
) -> Alert:
    """For the receiver of a webhook: the alert, if it is genuine and at most `tolerance` seconds old.

    Raises:
        ValueError: The signature is wrong, the message is old, or the body is no alert.
    """
    expected = _signature(secret.encode(), timestamp, body)
    if not hmac.compare_digest(expected.encode(), signature.encode(errors="replace")):
        raise ValueError("the signature does not fit the body")
    if abs((time.time() if now is None else now) - float(timestamp)) > tolerance:
        raise ValueError("the message is too old, or the clocks differ")
    return Alert.model_validate(json.loads(body))
