"""The response behind a reply, as it came."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from deepthrift._types.errors import ConfigurationError
from deepthrift._types.messages import JSONValue

_TRACES = ("x-ds-trace-id", "x-request-id", "request-id", "x-trace-id", "cf-ray")


@dataclass(frozen=True, slots=True)
class RawResponse:
    """Status, headers and body of the last response of a call. It is kept with the reply alone, and never written."""

    status: int
    _headers: Mapping[str, str] = field(repr=False)
    """As they came, cookies included."""
    body: bytes = field(default=b"", repr=False)
    """The whole body; empty for a stream, whose pieces are not kept."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers, names in lower case, without cookies."""
        kept = {name.lower(): value for name, value in self._headers.items()}
        kept.pop("set-cookie", None)
        return kept

    @property
    def trace_id(self) -> str | None:
        """The endpoint's own id of the request, to quote to its support."""
        headers = self.headers
        return next((headers[name] for name in _TRACES if name in headers), None)

    def json(self) -> JSONValue:
        """The body, read as JSON: with every field that the host sent.

        Raises:
            ConfigurationError: It was a stream, or events in the place of a plain answer.
        """
        if not self.body.strip().startswith((b"{", b"[")):
            raise ConfigurationError("the body of a stream is not kept; its events have all that was said")
        value: JSONValue = json.loads(self.body)
        return value
