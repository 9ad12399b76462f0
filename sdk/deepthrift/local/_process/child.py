"""One engine process: started, listened to, stopped. Nothing here waits; whoever drives it does, awaited or not."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final, cast

from deepthrift._types.errors import EngineStartFailed, UnsupportedMachine
from deepthrift.local._engine import memory as _memory

_SERVE: Final = Path(__file__).with_name("serve.py")
_LOG_BYTES: Final = 64 * 1024
_TAIL_LINES: Final = 20
_REAP_SECONDS: Final = 5.0
_DRAIN_SECONDS: Final = 10.0
"""Only a busy machine takes long: the pipes of an ended process have an end."""


class Log:
    """The last lines of a process's log, bounded, without its key."""

    def __init__(self, secret: str, sink: Callable[[str], None] | None = None) -> None:
        self._secret = secret
        self._sink = sink
        self._lines: deque[str] = deque()
        self._size = 0
        self._lock = threading.Lock()

    def add(self, raw: bytes) -> None:
        """Take in one line."""
        line = raw.decode("utf-8", "replace").rstrip().replace(self._secret, "***")
        with self._lock:
            self._lines.append(line)
            self._size += len(line) + 1
            while self._size > _LOG_BYTES and len(self._lines) > 1:
                self._size -= len(self._lines.popleft()) + 1
        if self._sink is not None:
            with contextlib.suppress(Exception):  # a log that cannot be written must not stop the engine
                self._sink(line)

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines, oldest first; empty if there are none."""
        with self._lock:
            return "\n".join(list(self._lines)[-lines:])


class Child:
    """A running engine process.

    Attributes:
        log: The end of its log.
        event: What it reported of its start, or `None` so far: its `"event"` is `"ready"`, `"failed"` or `"import"`.
        kills_before: Processes that the system had killed for lack of memory before this one was started.
    """

    def __init__(self, settings: Mapping[str, object], *, key: str, sink: Callable[[str], None] | None = None) -> None:
        """Start the process.

        Raises:
            UnsupportedMachine: This Python does not know its own executable.
            EngineStartFailed: The system refused to start a process.
        """
        if not sys.executable:
            raise UnsupportedMachine("This Python does not know its own executable, which the engine is started with.")
        self.log = Log(key, sink)
        self.event: dict[str, str] | None = None
        self.kills_before = _memory.kills()
        self._owner = os.getpid()
        self._stop_lock = threading.Lock()
        # Without OMP_WAIT_POLICY idle threads spin, and on a busy machine the engine drops to a tenth of its speed.
        environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
        environment = {name: value for name, value in environment.items() if value != key}
        is_main_thread = threading.get_native_id() == os.getpid()
        first_line = json.dumps({**settings, "key": key, "parent": os.getpid(), "parent_signal": is_main_thread})
        try:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", str(_SERVE)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=environment,
                # A group of its own: Ctrl-C in the terminal is the parent's to handle, in its own order.
                process_group=0 if os.name == "posix" else None,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as error:
            raise EngineStartFailed(f"The engine's process could not be started: {error}.") from error
        self.pid = self._process.pid
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None and stdout is not None and stderr is not None  # noqa: S101, PT018
        self._stdin = stdin
        self._threads = (
            threading.Thread(target=self._read, args=(stdout, self._heard), name="deepthrift-engine-events"),
            threading.Thread(target=self._read, args=(stderr, self.log.add), name="deepthrift-engine-log"),
        )
        for thread in self._threads:
            thread.daemon = True
            thread.start()
        self._write(first_line.encode() + b"\n")

    def poll(self) -> int | None:
        """The exit code, or `None` while it runs."""
        if os.getpid() != self._owner:
            return None  # a forked copy of this object: the process is not ours to wait for
        return self._process.poll()

    def drain(self) -> None:
        """Take in what an ended process left in its pipes."""
        for thread in self._threads:
            thread.join(_DRAIN_SECONDS)

    def ask_to_stop(self) -> None:
        """Tell it to end once it is idle; also closes its input."""
        if os.getpid() == self._owner:
            self._write(b"stop\n")
            self._close_input()

    def kill(self) -> None:
        """End it now and collect it. Safe to call twice, from any thread, and in a forked copy."""
        if os.getpid() != self._owner:
            return
        self._close_input()
        with self._stop_lock:
            if self._process.poll() is None:
                self._process.kill()
            # A process in the middle of a disk read cannot be collected before that ends.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_REAP_SECONDS)
        self.drain()

    def _write(self, data: bytes) -> None:
        # It is gone already, and its exit code will tell why; or another thread has just closed the pipe to end it.
        with contextlib.suppress(OSError, ValueError):
            self._stdin.write(data)

    def _close_input(self) -> None:
        with contextlib.suppress(OSError):
            self._stdin.close()

    def _heard(self, raw: bytes) -> None:
        with contextlib.suppress(ValueError):
            event = json.loads(raw)
            if isinstance(event, dict) and self.event is None:
                self.event = {name: str(value) for name, value in cast("dict[str, object]", event).items()}

    @staticmethod
    def _read(pipe: IO[bytes], take: Callable[[bytes], None]) -> None:
        rest = b""
        with pipe:
            # Not pipe.read: a thread that waits there would hold the pipe's own lock.
            while piece := os.read(pipe.fileno(), 65536):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    take(line)
                rest = rest[-_LOG_BYTES:]
        if rest:
            take(rest)
