"""Secrets kept out of recordings: what a request carries as a key is struck out wherever it appears."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, cast
from urllib.parse import parse_qsl, quote, quote_plus

import httpx

from deepthrift._util.secrets import HIDDEN, is_secret
from deepthrift._wire.errors.failures import without_secrets
from deepthrift.testing._cassette import Exchange, as_json
from deepthrift_pricing.shared.urls import is_harmless, shown_query

_FIELD: Final = re.compile(
    r"api[-_]?key|authorization|passw|secret|credential|cookie|(access|auth|bearer|session|refresh|id)[-_]?token",
    re.IGNORECASE,
)
"""Fields of a JSON body whose value is a secret; `max_tokens` is none."""
_KEPT: Final = frozenset({"content-type", "retry-after", "retry-after-ms", "x-ds-trace-id", "x-request-id"})
"""Headers of a response that a client reads; no others are recorded."""
_SHORTEST: Final = 6
"""Shorter texts guard nothing, and would be struck out of every word that holds them."""
_SCHEMES: Final = frozenset({"bearer", "digest", "negotiate"})
_TOKEN: Final = re.compile(r"(?=.*\d)\S{12,}")
"""What looks like a key, under whatever name."""
_SAID: Final = ("content", "reasoning_content", "reasoning", "text", "arguments")


class Scrubber:
    """Learns the secrets of requests, and strikes them out of everything that is written."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def learn(self, request: httpx.Request) -> None:
        """Note what is a secret in the headers and the query of `request`."""
        for name, value in request.headers.items():
            if is_secret(name):
                self._note(value)
        for name, value in _query(request.url):
            if is_secret(name) or (not is_harmless(name) and _TOKEN.fullmatch(value)):
                self._note(value)
        self._note(request.url.password)

    def _note(self, value: str) -> None:
        """Note `value` with its parts: credentials after a scheme, cookies, a user with a password in base 64."""
        parts = [value, *re.split(r"[\s;,]+", value)]
        parts += [part.partition("=")[2] for part in parts if "=" in part]
        for part in list(parts):
            try:
                plain = base64.b64decode(part, validate=True).decode()
            except (binascii.Error, ValueError):
                continue
            if ":" in plain:
                parts += [plain, *plain.split(":", 1)]
        long = {part.strip("\"'") for part in parts if len(part) >= _SHORTEST}
        self._secrets |= {part for part in long if part.lower() not in _SCHEMES}

    def path(self, url: httpx.URL) -> str:
        """Path and query, without secrets."""
        return self.text(_masked(url.path, url.query.decode("latin-1")))

    def known(self, exchange: Exchange) -> Exchange:
        """An exchange from a file that may have been recorded when fewer parameters were hidden."""
        path, _, query = exchange.path.partition("?")
        return replace(exchange, path=_masked(path, query))

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers of a response that are worth keeping."""
        return {name.lower(): self.text(value) for name, value in headers.items() if name.lower() in _KEPT}

    def body(self, content: bytes) -> object:
        """The JSON of a request without secrets; text, where it is no JSON."""
        text = content.decode("utf-8", "replace")
        try:
            value: object = json.loads(text) if text else None
        except ValueError:
            return self.text(text)
        return self._cleaned(value)

    def answer(self, content: bytes) -> str:
        """The body of a response without secrets, also where one is spread over the events of a stream."""
        text = content.decode("utf-8", "replace")
        try:
            return as_json(self._cleaned(json.loads(text)))
        except ValueError:
            return self.text(self._gathered(text))

    def text(self, text: str) -> str:
        """`text` without secrets, in every form in which a request or an answer may repeat them."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), quote_plus(secret)):
                text = text.replace(form, HIDDEN)
        return without_secrets(text)

    def _cleaned(self, value: object) -> object:
        """JSON without the values of secret fields, and without secrets in its texts and names."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            held = cast("dict[str, object]", value)
            return {
                self.text(key): HIDDEN if _FIELD.search(key) and isinstance(each, str) else self._cleaned(each)
                for key, each in held.items()
            }
        if isinstance(value, list):
            return [self._cleaned(each) for each in cast("list[object]", value)]
        return value

    def _gathered(self, text: str) -> str:
        """Events; where their words hold a secret, with all of these in the first of them: it may be cut anywhere."""
        lines = text.split("\n")
        events: dict[int, object] = {}
        for number, line in enumerate(lines):
            if line.startswith("data:"):
                try:
                    events[number] = json.loads(line[5:])
                except ValueError:
                    continue
        for name in _SAID:
            held = [(owner, cast("str", owner[name])) for owner in _speakers(events.values(), name)]
            whole = "".join(piece for _, piece in held)
            if self.text(whole) != whole:
                for place, (owner, _) in enumerate(held):
                    owner[name] = self.text(whole) if place == 0 else ""
        for number, event in events.items():
            lines[number] = f"data: {as_json(self._cleaned(event))}"
        return "\n".join(lines)


def _query(url: httpx.URL) -> list[tuple[str, str]]:
    return parse_qsl(url.query.decode("latin-1"), keep_blank_values=True)


def _masked(path: str, query: str) -> str:
    return f"{path}?{shown_query(query)}" if query else path


def _speakers(values: Iterable[object], name: str) -> Iterable[dict[str, object]]:
    """Every object that says something in the field `name`, in order."""
    for value in values:
        if isinstance(value, dict):
            held = cast("dict[str, object]", value)
            if isinstance(held.get(name), str):
                yield held
            yield from _speakers(held.values(), name)
        elif isinstance(value, list):
            yield from _speakers(cast("list[object]", value), name)
