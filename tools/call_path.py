#!/usr/bin/env python3
"""What one call touches: our functions and files, and how often the conversation is laid out, checked, counted, priced.

    python tools/call_path.py chat|stream|routed

It answers itself on loopback. `tests/test_call_path.py` holds the figures.
"""

from __future__ import annotations

import asyncio
import http.server
import json
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

PACKAGES = ("/deepthrift/", "/deepthrift_router/", "/deepthrift_pricing/")
STEPS = {
    "laid out": "wire_messages",
    "checked": "check_options",
    "counted": "encode_messages",
    "priced": "PriceBook.worst",
    "reserved": "LedgerBookings._reserve",
}
"""The function that does each step."""
USAGE = {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 20}


@dataclass
class Path:
    """The calls of our functions, in order, of all threads."""

    calls: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def note(self, frame: FrameType, event: str, _: object) -> None:
        """Takes a call of a function of ours, for `sys.setprofile`."""
        code = frame.f_code
        part = next((part for part in PACKAGES if part in code.co_filename), None)
        if event != "call" or part is None or (frame.f_lasti > 5 and code.co_flags & 0x2A0):
            return  # a coroutine that goes on is no new call
        name = code.co_qualname
        if "<" not in name:
            self.calls.append((part + code.co_filename.rpartition(part)[2], name))

    @property
    def files(self) -> int:
        """Files that were touched."""
        return len({file for file, _ in self.calls})

    @property
    def changes(self) -> int:
        """How often a call was in another file than the one before."""
        return sum(one[0] != other[0] for one, other in zip(self.calls, self.calls[1:], strict=False))

    @property
    def steps(self) -> dict[str, int]:
        """How often each step was taken."""
        count = Counter(name for _, name in self.calls)
        return {step: count[name] for step, name in STEPS.items()}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every chat with one number."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:  # the base class's name
        """Says nothing."""

    def do_POST(self) -> None:  # the base class's name
        """One answer."""
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        head = {"id": "x", "model": request["model"]}
        if request.get("stream"):
            lines = [json.dumps({**head, "choices": [{"index": 0, "delta": {"content": "It is 42"}}]})]
            lines += [json.dumps({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})]
            lines += [json.dumps({**head, "choices": [], "usage": USAGE})]
            kind, body = "text/event-stream", "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"])
        else:
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is 42"}}
            kind, body = "application/json", json.dumps({**head, "choices": [choice], "usage": USAGE})
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


@contextmanager
def endpoint() -> Generator[str]:
    """Serves on loopback; gives the base URL."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


async def walk(kind: str) -> Path:
    """The path of a second call; the first one imports and opens what is needed once."""
    from deepthrift import AsyncClient
    from deepthrift_pricing import Budget, Ledger
    from deepthrift_router import ModeRouter

    path = Path()
    recording = False

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if recording:
            path.note(frame, event, argument)

    threading.setprofile(profile)  # for the ledger's threads, which start with the first call
    question = "What is 6 times 7?"
    try:
        with (
            endpoint() as url,
            tempfile.TemporaryDirectory() as folder,
            Ledger.open(f"sqlite:///{folder}/spend.db", budgets=[Budget("1", per="day")]) as ledger,
        ):
            async with (
                AsyncClient(
                    url, host="vllm", model="deepseek-ai/DeepSeek-V3.1", prices="brief", ledger=ledger
                ) as client,
                ModeRouter(client) as router,
            ):
                for turn in range(2):
                    recording = turn == 1
                    sys.setprofile(profile if recording else None)
                    if kind == "chat":
                        await client.chat(question, max_tokens=32)
                    elif kind == "stream":
                        async with client.stream(question, max_tokens=32) as stream:
                            async for _ in stream:
                                pass
                    else:
                        await router.chat(question, max_tokens=32, policy="cascade")
                    sys.setprofile(None)
                    recording = False
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return path


def main() -> None:
    """Prints the figures of one kind of call."""
    kind = sys.argv[1] if len(sys.argv) > 1 else "chat"
    path = asyncio.run(walk(kind))
    steps = ", ".join(f"{step} {times}" for step, times in path.steps.items())
    print(f"{kind}: {len(path.calls)} calls in {path.files} files, {path.changes} changes of file; {steps}")


if __name__ == "__main__":
    main()
