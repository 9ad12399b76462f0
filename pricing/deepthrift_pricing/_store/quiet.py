"""Requests whose URLs httpx does not write to its log: a webhook's address or a signed link is a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepthrift_pricing._values.shown_url import HIDDEN

if TYPE_CHECKING:
    import httpx


def quiet(request: httpx.Request) -> None:
    """A hook for httpx's `event_hooks`: the log shows the scheme and host of `request`, and nothing else of its URL."""
    import httpx

    class Quiet(httpx.URL):
        def __str__(self) -> str:
            return f"{self.scheme}://{self.host}/{HIDDEN}"

        def __repr__(self) -> str:
            return f"URL({str(self)!r})"

    request.url = Quiet(request.url)
