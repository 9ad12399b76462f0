"""Fetches one file by its URL, going on where an earlier try was cut."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from deepthrift._types.errors import DownloadError
from deepthrift_pricing.shared.urls import quiet

_BLOCK: Final = 1024 * 1024
_SECONDS: Final = 60.0


def remote_size(url: str) -> int | None:
    """How many bytes a URL holds, if the server says so.

    Raises:
        DownloadError: It cannot be reached.
    """
    try:
        with _client() as client:
            answer = client.head(url)
            answer.raise_for_status()
            length = answer.headers.get("content-length", "")
    except httpx.HTTPError as error:
        raise _failed(url, error) from None
    return int(length) if length.isdigit() else None


def download(url: str, target: Path, *, on_bytes: Callable[[int], None], most: int | None = None) -> str:
    """Fetch into `target`; its SHA-256. What an earlier try left is kept, and only the rest is fetched.

    Args:
        url: Where it is; certificates are verified, and redirects are followed.
        target: The file; until it is complete, `target.partial` stands for it.
        on_bytes: Called with the bytes that are there; may raise to give up, which keeps them.
        most: The bytes that it may have; a server that sends more is given up.

    Raises:
        DownloadError: It could not be fetched; what came is kept for the next try.
        OSError: It cannot be written.
    """
    partial = target.with_name(f"{target.name}.partial")
    digest = hashlib.sha256()
    there = 0
    if partial.exists():
        with partial.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                there += len(block)
    try:
        with _client() as client, client.stream("GET", url, headers=_range(there)) as answer:
            if answer.status_code == 416:
                pass  # all of it is there already
            else:
                answer.raise_for_status()
                if answer.status_code != 206:  # from the beginning, whatever was asked
                    digest, there = hashlib.sha256(), 0
                with partial.open("r+b" if there else "wb") as out:
                    out.seek(there)
                    for block in answer.iter_raw():
                        out.write(block)
                        digest.update(block)
                        there += len(block)
                        if most is not None and there > most:
                            raise DownloadError(f"{target.name!r} is larger than the {most:,} bytes the server named")
                        on_bytes(there)
                    out.truncate()
                    out.flush()
                    os.fsync(out.fileno())
    except httpx.HTTPError as error:
        raise _failed(url, error) from None
    partial.replace(target)
    return digest.hexdigest()


def _client() -> httpx.Client:
    return httpx.Client(
        follow_redirects=True,
        timeout=_SECONDS,
        headers={"accept-encoding": "identity"},
        event_hooks={"request": [quiet]},
    )


def _range(there: int) -> dict[str, str]:
    return {"range": f"bytes={there}-"} if there else {}


def _failed(url: str, error: httpx.HTTPError) -> DownloadError:
    # A URL may carry a signature or a password in any part but its host and the end of its path.
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.hostname}/…/{parts.path.rpartition('/')[2]}"
    reason = (
        f"status {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
    )
    return DownloadError(
        f"{shown} could not be fetched ({reason}); what came is kept, so try again to go on from there."
    )
