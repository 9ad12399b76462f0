"""A host's own batch service on loopback: OpenAI's files and batches, with a true bill at half price."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.support.bill import Rates

HALF = Rates(Decimal("0.035"), Decimal("0.28"), Decimal("0.84"))


def answered(row: dict[str, Any]) -> dict[str, Any]:
    """A line of the output file."""
    thinks = row["body"].get("chat_template_kwargs", {}).get("thinking", False)
    message = {"role": "assistant", "content": "Paris."}
    if thinks:
        message["reasoning_content"] = "A capital."
    completion = 5 if thinks else 2
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": completion,
        "total_tokens": 10 + completion,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3 if thinks else 0},
    }
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    body = {"id": "chat-1", "object": "chat.completion", "model": row["body"]["model"], "choices": [choice]}
    response = {"status_code": 200, "request_id": "req-1", "body": {**body, "usage": usage}}
    return {"id": "batch_req_1", "custom_id": row["custom_id"], "response": response, "error": None}


class BatchService:
    """See the module; in `with`."""

    def __init__(
        self,
        result: Callable[[dict[str, Any]], dict[str, Any] | None] = answered,
        *,
        looks: int = 0,
        wrapped: bool = False,
    ) -> None:
        self.result = result
        self.looks = looks
        """How often a batch is looked at before it has ended."""
        self.wrapped = wrapped
        """Whether a batch is told below `job`, in capitals."""
        self.ends = "completed"
        self.refuse: dict[str, int] = {}
        """Statuses to answer with, by `METHOD /path`."""
        self.drop: set[str] = set()
        """What is done, and not answered."""
        self.stall = threading.Event()
        """Cleared, a batch is made and its answer kept back until it is set."""
        self.stall.set()
        self.files: dict[str, bytes] = {}
        self.purposes: list[str] = []
        self.batches: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.rows: list[dict[str, Any]] = []
        """The requests of the batches that were made."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def bill(self) -> Decimal:
        """What the batches cost, in USD."""
        total = Decimal(0)
        for row in self.rows:
            line = self.result(row)
            usage = ((line or {}).get("response") or {}).get("body", {}).get("usage")
            if usage:
                hit = usage["prompt_tokens_details"]["cached_tokens"]
                total += HALF.cost(usage["prompt_tokens"], hit, usage["completion_tokens"])
        return total

    def __enter__(self) -> Self:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.handle(self)

            def do_POST(self) -> None:
                service.handle(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def handle(self, http: BaseHTTPRequestHandler) -> None:
        path = http.path.removeprefix("/v1")
        body = http.rfile.read(int(http.headers.get("content-length", 0)))
        asked = f"{http.command} {path}"
        self.requests.append(asked)
        if asked in self.refuse:
            return self._send(http, json.dumps({"error": {"message": "no"}}).encode(), self.refuse[asked])
        answer = self._answer(http, path, body)
        if asked == "POST /batches":
            self.stall.wait(30)
        if asked in self.drop:
            self.drop.discard(asked)
            return http.connection.close()
        if answer is None:
            return self._send(http, b'{"error": {"message": "no such path"}}', 404)
        return self._send(http, answer if isinstance(answer, bytes) else json.dumps(answer).encode(), 200)

    @staticmethod
    def _send(http: BaseHTTPRequestHandler, body: bytes, status: int) -> None:
        with contextlib.suppress(OSError):  # the client may have been killed
            BatchService._respond(http, body, status)

    @staticmethod
    def _respond(http: BaseHTTPRequestHandler, body: bytes, status: int) -> None:
        http.send_response(status)
        http.send_header("content-type", "application/json")
        http.send_header("content-length", str(len(body)))
        http.end_headers()
        http.wfile.write(body)

    def _answer(self, http: BaseHTTPRequestHandler, path: str, body: bytes) -> Any:
        parts = path.strip("/").split("/")
        match http.command, parts:
            case "POST", ["files"]:
                return self._upload(http, body)
            case "GET", ["files", name, "content"]:
                return self.files.get(name)
            case "POST", ["batches"]:
                return self._create(json.loads(body))
            case "GET", ["batches"]:
                return {"object": "list", "data": [self._told(batch) for batch in self.batches.values()]}
            case "GET", ["batches", name] if name in self.batches:
                return self._look(self.batches[name])
            case "POST", ["batches", name, "cancel"] if name in self.batches:
                self.ends, self.looks = "cancelled", 0
                return self._told({**self.batches[name], "status": "cancelling"})
            case _:
                return None

    def _upload(self, http: BaseHTTPRequestHandler, body: bytes) -> Any:
        boundary = http.headers["content-type"].partition("boundary=")[2].encode()
        fields: dict[str, bytes] = {}
        for part in body.split(b"--" + boundary)[1:-1]:
            head, _, value = part.partition(b"\r\n\r\n")
            fields[head.partition(b'name="')[2].partition(b'"')[0].decode()] = value.removesuffix(b"\r\n")
        self.purposes.append(fields["purpose"].decode())
        name = f"file-{len(self.files)}"
        self.files[name] = fields["file"]
        return {"id": name, "object": "file", "bytes": len(fields["file"]), "purpose": "batch"}

    def _create(self, asked: dict[str, Any]) -> Any:
        rows = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        self.rows += rows
        name = f"batch-{len(self.batches)}"
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "status": "validating",
            "input_file_id": asked["input_file_id"],
            "endpoint": asked["endpoint"],
            "errors": None,
            "output_file_id": None,
            "error_file_id": None,
            "request_counts": {"total": len(rows), "completed": 0, "failed": 0},
            "metadata": asked["metadata"],
        }
        return self._told(self.batches[name])

    def _look(self, batch: dict[str, Any]) -> Any:
        if self.looks:
            self.looks -= 1
            batch["status"] = "in_progress"
        elif batch["status"] != self.ends:
            batch["status"] = self.ends
            rows = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
            lines = [line for row in rows if (line := self.result(row)) is not None]
            good = [line for line in lines if line["error"] is None and line["response"]["status_code"] == 200]
            bad = [line for line in lines if line not in good]
            for kind, found in (("output_file_id", good), ("error_file_id", bad)):
                if found:
                    batch[kind] = f"{batch['id']}-{kind}"
                    self.files[batch[kind]] = "".join(json.dumps(line) + "\n" for line in found).encode()
            batch["request_counts"] = {"total": len(rows), "completed": len(good), "failed": len(bad)}
        return self._told(batch)

    def _told(self, batch: dict[str, Any]) -> Any:
        return {"job": {**batch, "status": batch["status"].upper()}} if self.wrapped else batch
