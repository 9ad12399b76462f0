"""The response behind a reply, as it came."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from deepthrift._messages import JSONValue
from deepthrift.errors import ConfigurationError

_TRACES = ("x-ds-trace-id", "x-request-id", "request-id", "x-trace-id", "cf-ray")


@dataclass(frozen=True, slots=True)
class RawResponse:
    """Status, headers and body of the last response of a call. It is kept with the reply alone, and never written."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case; cookies are left out."""
    body: bytes = field(default=b"", repr=False)
    """The whole body; empty for a stream, whose pieces are not kept."""

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], body: bytes = b"") -> RawResponse:
        """A response with the headers as they came."""
        kept = {name.lower(): value for name, value in headers.items()}
        kept.pop("set-cookie", None)
        return cls(status, kept, body)

    @property
    def trace_id(self) -> str | None:
        """The endpoint's own id of the request, to quote to its support."""
        return next((self.headers[name] for name in _TRACES if name in self.headers), None)

    def json(self) -> JSONValue:
        """The body, read as JSON: with every field that the host sent.

        Raises:
            ConfigurationError: It was a stream.
        """
        if not self.body.strip():
            raise ConfigurationError("the body of a stream is not kept; its events have all that was said")
        value: JSONValue = json.loads(self.body)
        return value
