"""A server in the shape of a V3.1 endpoint, on loopback, that keeps the true bill.

It runs in a thread of its own, so that asynchronous tests, synchronous ones and other processes can all talk to it:

    with BillServer(Answer("Paris.")) as server: ...                      # every request gets this
    async with BillServer([Failure(429), Answer()]) as server: ...        # in order; the last one repeats
    async with BillServer(lambda request: Answer(str(request.number))) as server: ...
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeAlias, cast

from tests.support.behaviour import Answer, Behaviour, Drop, Failure, RawBody
from tests.support.bill import Bill, BilledRequest, Mode, Rates
from tests.support.dialect import Dialect, mode_asked
from tests.support.http11 import ClientGone, RawRequest, Wire
from tests.support.serve_answer import Generation, Received, answer_plain, answer_stream
from tests.support.waiting import PATIENCE

Handler: TypeAlias = Callable[[Received], Behaviour]
Route: TypeAlias = Callable[[RawRequest], object]
"""Answers a further path with a JSON value."""

__all__ = [
    "Answer",
    "Behaviour",
    "Bill",
    "BillServer",
    "BilledRequest",
    "Drop",
    "Failure",
    "Handler",
    "Mode",
    "Rates",
    "RawBody",
    "Received",
]

DEFAULT = Answer()


class BillServer:
    """See the module.

    Args:
        script: One behaviour for all, a sequence (the last repeats), or a function of the request.
        rates: The true prices; `thinking` rates are the same unless given.
        dialect: The one form in which the mode may be switched here; any other is ignored, as real endpoints do.
        default_mode: What runs when the request does not say.
        key: The API key to insist on.
        models: What `GET /models` lists.
        routes: Further paths, e.g. `{"/tokenize": …}`.
    """

    def __init__(
        self,
        script: Behaviour | Sequence[Behaviour] | Handler = DEFAULT,
        *,
        rates: Rates | None = None,
        thinking_rates: Rates | None = None,
        dialect: Dialect = "any",
        default_mode: Mode = "standard",
        key: str | None = None,
        models: Sequence[str] = ("deepseek-chat", "deepseek-reasoner"),
        routes: Mapping[str, Route] | None = None,
    ) -> None:
        self.bill = Bill(rates or Rates(), thinking_rates)
        self.script = script
        self.dialect: Dialect = dialect
        self.default_mode: Mode = default_mode
        self.key = key
        self.models = tuple(models)
        self.routes = dict(routes or {})
        self.requests: list[Received] = []
        self.connections = 0
        """Connections accepted so far."""
        self.open_connections = 0
        self.in_flight = 0
        """Chat requests being answered now."""
        self.peak_in_flight = 0
        self.faults: list[BaseException] = []
        """Errors of the server itself; leaving the context raises the first."""
        self._changed = threading.Condition()
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._port = 0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """The base URL for clients, ending in `/v1`."""
        return f"{self.origin}/v1"

    def quiet(self, timeout: float = PATIENCE, *, connections: int | None = None) -> None:
        """Block until no request is in flight, so that the bill is final.

        With `connections`, also until so many connections are left open.
        """

        def settled() -> bool:
            return self.in_flight == 0 and (connections is None or self.open_connections == connections)

        self._wait(settled, timeout, "in flight")

    async def wait_quiet(self, timeout: float = PATIENCE, *, connections: int | None = None) -> None:
        """`quiet()` without blocking the event loop."""
        await asyncio.to_thread(self.quiet, timeout, connections=connections)

    def wait_for(self, condition: Callable[[BillServer], bool], timeout: float = PATIENCE) -> None:
        """Block until `condition(self)` holds, e.g. until a request has arrived."""
        self._wait(lambda: condition(self), timeout, "waited for")

    async def until(self, condition: Callable[[BillServer], bool], timeout: float = PATIENCE) -> None:
        """`wait_for()` without blocking the event loop."""
        await asyncio.to_thread(self.wait_for, condition, timeout)

    def _wait(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        end = time.monotonic() + timeout
        with self._changed:
            while not condition():
                if time.monotonic() > end:
                    state = [(r.number, r.generated, r.ended, r.disconnected) for r in self.requests]
                    raise TimeoutError(f"{what}: {self.in_flight} in flight, {self.open_connections} open, {state}")
                self._changed.wait(0.02)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="bill-server", daemon=True)
        self._thread.start()
        self._ready.wait(PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(PATIENCE)
        if error is None and self.faults:
            raise AssertionError("the bill server itself failed") from self.faults[0]

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        open_tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._connection(Wire(reader, writer)))
            open_tasks.add(task)
            task.add_done_callback(open_tasks.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=512, limit=2**26)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(open_tasks):
            task.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)

    def _note(self, **deltas: int) -> None:
        with self._changed:
            for name, delta in deltas.items():
                setattr(self, name, getattr(self, name) + delta)
            self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
            self._changed.notify_all()

    async def _connection(self, wire: Wire) -> None:
        number = self.connections
        self._note(connections=1, open_connections=1)
        try:
            while (request := await wire.read()) is not None:
                await self._serve(wire, request, number)
        except ClientGone:
            wire.abort()
        except asyncio.CancelledError:
            wire.abort()
            raise
        except Exception as error:
            self.faults.append(error)
            traceback.print_exception(error)
            wire.abort()
        finally:
            self._note(open_connections=-1)
            await wire.close()

    async def _serve(self, wire: Wire, raw: RawRequest, connection: int) -> None:
        path = raw.path.partition("?")[0]
        if self.key is not None and raw.headers.get("authorization") != f"Bearer {self.key}":
            return await self._fail(wire, Failure(401, "Authentication Fails"))
        if path.endswith("/chat/completions") and raw.method == "POST":
            return await self._chat(wire, raw, connection)
        short = path.removeprefix("/v1")
        if short == "/models":
            listed = [{"id": name, "object": "model", "owned_by": "deepseek"} for name in self.models]
            return await self._json(wire, {"object": "list", "data": listed})
        if short in self.routes:
            return await self._json(wire, self.routes[short](raw))
        return await self._fail(wire, Failure(404, f"no such path: {path}"))

    async def _chat(self, wire: Wire, raw: RawRequest, connection: int) -> None:
        try:
            body = cast("Mapping[str, object]", json.loads(raw.body))
        except ValueError:
            return await self._fail(wire, Failure(400, "the body is not JSON"))
        asked = mode_asked(self.dialect, body, raw.headers)
        with self._changed:
            request = Received(
                number=len(self.requests),
                path=raw.path,
                headers=raw.headers,
                body=body,
                mode_asked=asked,
                mode_ran=asked or self.default_mode,
                connection=connection,
            )
            self.requests.append(request)
        self._note(in_flight=1)
        try:
            await self._behave(wire, request, self._pick(request))
        except ClientGone:
            request.disconnected = wire.client_gone
            raise
        finally:
            request.ended = True
            self._note(in_flight=-1)

    def _pick(self, request: Received) -> Behaviour:
        if callable(self.script):
            return self.script(request)
        if isinstance(self.script, Answer | Failure | RawBody | Drop):
            return self.script
        return self.script[min(request.number, len(self.script) - 1)]

    async def _behave(self, wire: Wire, request: Received, what: Behaviour) -> None:
        if isinstance(what, Answer):
            generation = Generation(what, request, self.bill)
            return await (answer_stream if request.stream else answer_plain)(wire, generation)
        await wire.pause(what.delay)
        await wire.wait(what.admission if isinstance(what, Failure) else None)
        if what.billed is not None:
            generation = Generation(what.billed, request, self.bill)
            generation.all_at_once()
            generation.charge(complete=True)
        if isinstance(what, Failure):
            return await self._fail(wire, what)
        if isinstance(what, RawBody):
            await wire.head(what.status, {"content-type": what.content_type}, length=len(what.body))
            return await wire.send(what.body)
        if what.after == "headers":
            kind = "text/event-stream" if request.stream else "application/json"
            await wire.head(200, {"content-type": kind})
        raise ClientGone

    async def _fail(self, wire: Wire, failure: Failure) -> None:
        body = failure.body()
        retry = {} if failure.retry_after is None else {"retry-after": failure.retry_after}
        headers = {"content-type": failure.content_type, "x-ds-trace-id": "trace-1", **retry, **failure.headers}
        await wire.head(failure.status, headers, length=len(body))
        await wire.send(body)

    async def _json(self, wire: Wire, value: object) -> None:
        body = json.dumps(value).encode()
        await wire.head(200, {"content-type": "application/json"}, length=len(body))
        await wire.send(body)
