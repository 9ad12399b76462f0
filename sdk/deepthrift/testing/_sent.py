"""What a client sent, for tests to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

import httpx

from deepthrift._types.messages import JSONObject
from deepthrift._util.secrets import shown
from deepthrift_pricing import Mode

_OBJECT: Final[Mapping[str, object]] = {}


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One request as it left the client."""

    method: str
    path: str
    """Of the URL, such as `/v1/chat/completions`."""
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    body: JSONObject
    """The JSON that was sent; empty for a `GET`."""

    @classmethod
    async def of(cls, request: httpx.Request) -> SentRequest:
        """What `request` holds."""
        content = await request.aread()
        body: object = json.loads(content) if content else {}
        headers = {name.lower(): value for name, value in request.headers.items()}
        return cls(request.method, request.url.path, headers, cast("JSONObject", body))

    @property
    def mode(self) -> Mode:
        """The mode that it asks for, in whichever host's form; standard when it does not say."""
        return "thinking" if any(self._switches()) else "standard"

    def _switches(self) -> tuple[bool, ...]:
        body = self.body
        template = _object(body, "chat_template_kwargs")
        model = str(body.get("model", "")).lower()
        return (
            template.get("thinking") is True or template.get("enable_thinking") is True,
            _object(body, "thinking").get("type") == "enabled",
            body.get("enable_thinking") is True or body.get("think") is True,
            _object(body, "reasoning").get("enabled") is True,
            body.get("reasoning_effort") not in (None, "none") and "thinking" not in body,
            model.endswith(("reasoner", ":thinking", "-thinking", "-think")),
            self.headers.get("x-enable-thinking") == "true",
        )

    @property
    def stream(self) -> bool:
        """Whether it asks for a stream."""
        return self.body.get("stream") is True

    @property
    def messages(self) -> list[Mapping[str, object]]:
        """The conversation."""
        found = self.body.get("messages")
        return list(cast("list[Mapping[str, object]]", found)) if isinstance(found, list) else []

    @property
    def question(self) -> str:
        """The text of the last user message, or the prompt of a completion."""
        contents = [message.get("content") for message in self.messages if message.get("role") == "user"]
        return str(contents[-1] if contents else self.body.get("prompt", ""))

    def __str__(self) -> str:
        return f"{self.method} {self.path} {json.dumps(self.body, ensure_ascii=False)} {shown(self.headers)}"


def _object(body: JSONObject, name: str) -> Mapping[str, object]:
    found = body.get(name)
    return found if isinstance(found, Mapping) else _OBJECT
