"""A server that answers with what was recorded, in V3.1's wire shape, so that everything real runs against it."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final, Self, cast

from deepthrift.errors import ConfigurationError
from deepthrift_pricing import Mode
from deepthrift_router._answers.features import conversation_text
from deepthrift_router.evaluation._recording import Recording, recordings_of

if TYPE_CHECKING:
    from deepthrift import Messages
    from deepthrift_router.evaluation._outcomes import Outcome

MODEL: Final = "deepseek-ai/DeepSeek-V3.1"
_LARGEST: Final = 32 * 1024 * 1024


class ReplayServer:
    """Serves recorded outcomes on loopback: `POST /v1/chat/completions` in both modes, streamed or whole.

    The mode is switched as vLLM and SGLang switch V3.1, by `chat_template_kwargs`, so a client takes
    `host="vllm"`. A question's standard answers are served in the order in which they were recorded, the last one again
    and again; `rewind` begins anew. Usage is what was recorded, else counted on recorded text, and then the response
    says so in `usage.estimated`. A sample without an answer is served as one that was cut off.

        with ReplayServer(outcomes) as server:
            client = Client(server.url, host="vllm", model=server.model, prices=...)

    Args:
        outcomes: Recorded outcomes, at most one of a question.
        port: 0 takes any that is free.

    Raises:
        ConfigurationError: Two outcomes have the same question.
    """

    model = MODEL

    def __init__(self, outcomes: Iterable[Outcome], *, port: int = 0) -> None:
        self._recordings: dict[str, Recording] = {}
        for outcome in outcomes:
            if outcome.question in self._recordings:
                raise ConfigurationError(f"{outcome.id!r} asks what an outcome before it asks; serve one of the two")
            self._recordings[outcome.question] = recordings_of(outcome)
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._port = port
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self.calls: Counter[Mode] = Counter()
        """Calls that were answered, by mode."""

    @property
    def url(self) -> str:
        """The base URL for clients, ending in `/v1`."""
        if self._server is None:
            raise ConfigurationError("the replay server is not started; use it in a `with` statement")
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def rewind(self) -> None:
        """Serve the standard answers of every question from the first one again."""
        with self._lock:
            self._asked.clear()

    def __enter__(self) -> Self:
        handler = type("ReplayHandler", (_Handler,), {"replay": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="replay", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
        self._server = self._thread = None

    def answer(self, body: Mapping[str, object]) -> tuple[int, Mapping[str, object]]:
        """Status and response for one request, as a whole."""
        messages = cast("Messages", body.get("messages") or "")
        question = conversation_text(messages)
        recording = self._recordings.get(question)
        if recording is None:
            return 404, _error("no outcome is recorded of this question")
        template = cast("Mapping[str, object]", body.get("chat_template_kwargs") or {})
        mode: Mode = "thinking" if template.get("thinking") is True else "standard"
        if mode == "thinking":
            recorded = recording.thinking
        else:
            with self._lock:
                number = self._asked[question]
                self._asked[question] += 1
            recorded = recording.standard[min(number, len(recording.standard) - 1)] if recording.standard else None
        if recorded is None:
            return 404, _error(f"no {mode} answer is recorded of this question")
        with self._lock:
            self.calls[mode] += 1
        message: dict[str, object] = {"role": "assistant", "content": recorded.text}
        if mode == "thinking":
            message["reasoning_content"] = recorded.reasoning
        usage: dict[str, object] = {
            "prompt_tokens": recording.prompt_tokens,
            "completion_tokens": recorded.tokens,
            "total_tokens": recording.prompt_tokens + recorded.tokens,
            "completion_tokens_details": {"reasoning_tokens": recorded.reasoning_tokens},
            "estimated": recorded.estimated,
        }
        choice = {"index": 0, "message": message, "finish_reason": recorded.finish, "logprobs": None}
        return 200, {
            "id": f"replay-{recording.id}",
            "object": "chat.completion",
            "created": 0,
            "model": MODEL,
            "choices": [choice],
            "usage": usage,
        }


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    replay: ReplayServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Models."""
        if self.path.rstrip("/").endswith("/models"):
            self._send(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        else:
            self._send(404, _error("there is nothing here"))

    def do_POST(self) -> None:
        """A chat completion."""
        length = int(self.headers.get("content-length") or 0)
        if length > _LARGEST:
            self._send(413, _error("the request is too long"))
            return
        raw = self.rfile.read(length)
        try:
            parsed: object = json.loads(raw)
        except ValueError:
            parsed = None
        if not self.path.endswith("/chat/completions") or not isinstance(parsed, dict):
            self._send(400, _error("expected a chat completion in JSON"))
            return
        body = cast("Mapping[str, object]", parsed)
        status, response = self.replay.answer(body)
        if status == 200 and body.get("stream") is True:
            self._stream(response)
        else:
            self._send(status, response)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""

    def _send(self, status: int, response: Mapping[str, object]) -> None:
        data = json.dumps(response).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, response: Mapping[str, object]) -> None:
        choice = cast("Sequence[Mapping[str, object]]", response["choices"])[0]
        message = cast("Mapping[str, object]", choice["message"])
        frame = {**{name: response[name] for name in ("id", "created", "model")}, "object": "chat.completion.chunk"}
        deltas = [{name: message[name]} for name in ("reasoning_content", "content") if message.get(name)]
        events: list[Mapping[str, object]] = [
            {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
        ]
        ended: dict[str, object] = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
        events += [{**frame, "choices": [ended]}, {**frame, "choices": [], "usage": response["usage"]}]
        data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _error(message: str) -> dict[str, object]:
    return {"error": {"message": message, "type": "replay", "code": None}}
