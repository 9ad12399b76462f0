"""A server that answers as a Hugging Face hub does, as far as fetching a model needs, and serves plain files beside."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Hub:
    """What it holds, what was asked, and how it misbehaves."""

    files: dict[str, bytes]
    """By path below the repository."""
    url: str = ""
    commit: str = COMMIT
    cut_after: int | None = None
    """The next body ends after so many bytes."""
    lie: dict[str, str] = field(default_factory=dict)
    """Hashes that the hub states wrongly, by path."""
    hold: set[str] = field(default_factory=set)
    """Paths whose body stops halfway until `release` is set."""
    held: threading.Event = field(default_factory=threading.Event)
    """Set once a body has stopped halfway."""
    release: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path, and range."""


@contextmanager
def running_hub(files: dict[str, bytes]) -> Iterator[Hub]:
    """A hub with one repository, `someone/models`; its files are at `/files/` as well."""
    hub = Hub(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.requests.append((self.command, path, self.headers.get("Range", "")))
            if re.fullmatch(r"/api/models/someone/models(/revision/[^/]+)?", path):
                self.send(json.dumps(self.repository()).encode(), {"Content-Type": "application/json"})
                return
            match = re.fullmatch(r"(?:/someone/models/resolve/[^/]+|/files)/(.*)", path)
            content = hub.files.get(match[1]) if match is not None else None
            if match is None or content is None:
                self.send(b"{}", {"X-Error-Code": "EntryNotFound"}, 404)
                return
            etag = hub.lie.get(match[1], sha256(content))
            headers = {"ETag": f'"{etag}"', "X-Repo-Commit": hub.commit, "Accept-Ranges": "bytes"}
            self.send(content, headers, body=body, path=match[1])

        def repository(self) -> dict[str, object]:
            siblings = [
                {
                    "rfilename": path,
                    "size": len(content),
                    "lfs": {"sha256": hub.lie.get(path, sha256(content)), "size": len(content), "pointerSize": 134},
                }
                for path, content in hub.files.items()
            ]
            return {
                "id": "someone/models",
                "modelId": "someone/models",
                "sha": hub.commit,
                "private": False,
                "tags": [],
                "downloads": 0,
                "siblings": siblings,
            }

        def send(
            self, content: bytes, headers: dict[str, str], status: int = 200, *, body: bool = True, path: str = ""
        ) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(wanted[1]) if wanted is not None else 0
            if start and start >= len(content):
                status, part = 416, b""
            else:
                part = content[start:]
                if start:
                    status = 206
                    headers = {**headers, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if not body or self.command == "HEAD":
                return
            if hub.cut_after is not None and len(part) > hub.cut_after:
                self.wfile.write(part[: hub.cut_after])
                hub.cut_after = None
                self.close_connection = True
                return
            if path in hub.hold:
                self.wfile.write(part[: len(part) // 2])
                self.wfile.flush()
                hub.held.set()
                hub.release.wait(100)
                part = part[len(part) // 2 :]
            self.wfile.write(part)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        hub.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
