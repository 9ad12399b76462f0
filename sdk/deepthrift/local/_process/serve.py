"""The engine's process: llama.cpp's own server, told everything over standard input, ended when that closes.

It is started by file name and imports nothing of Deepthrift, which saves a third of a second at every start. The first
line of standard input is a JSON object of settings (the key is among them, so it shows in no process list); standard
output carries one JSON object a line; the log goes to standard error.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import select
import signal
import sys
import threading
import time
import urllib.request
from http.client import HTTPException
from typing import Any

_PR_SET_PDEATHSIG = 1
_MOST_AT_ONCE = 8192


def main() -> int:
    """Serve until told to stop, or until the parent is gone."""
    # What is written to standard output is a protocol: anything else that prints goes to the log.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    first, rest = _first_line()
    if first is None:
        return 0
    settings: dict[str, Any] = json.loads(first)
    born_to = os.getppid()
    _die_with_parent(settings)
    try:
        engine = importlib.import_module("xllamacpp")
    except ImportError as error:
        _tell(out, event="import", error=str(error))
        return 3
    try:
        parameters = _parameters(engine, settings)
    except (AttributeError, TypeError, ValueError) as error:
        _tell(out, event="settings", error=str(error))
        return 5
    needed, available = settings["memory_needed"], settings["memory_available"]
    # With a GPU the weights go elsewhere, as far as they fit.
    if needed is not None and available is not None and needed > available and not _has_gpu(engine):
        _tell(out, event="memory", needed=needed, available=available)
        return 6
    with _die_on_input(rest):
        try:
            # Holds the interpreter lock until the model is loaded: no thread of ours runs meanwhile.
            server = engine.Server(parameters)
        except (RuntimeError, ValueError) as error:
            _tell(out, event="failed", error=str(error))
            return 4
    url = str(server.listening_address)
    _tell(out, event="ready", url=url, pid=os.getpid())
    graceful = _wait_for_the_end(born_to)
    if graceful:
        _wait_for_idle(url, str(settings["key"]), float(settings["grace"]))
    # Deleting the server would block until a running generation ends, so the process just leaves.
    os._exit(0)


def _first_line() -> tuple[bytes | None, bytes]:
    data = b""
    while b"\n" not in data:
        piece = os.read(0, 65536)
        if not piece:
            return None, b""
        data += piece
    line, _, rest = data.partition(b"\n")
    return line, rest


def _tell(out: Any, **event: object) -> None:
    with contextlib.suppress(OSError):
        out.write(json.dumps(event) + "\n")
        out.flush()


def _die_with_parent(settings: dict[str, Any]) -> None:
    """On Linux, have the kernel kill this process when the thread that started it ends.

    Only if that was the parent's main thread: the signal comes when the thread ends, not the process.
    """
    if not settings["parent_signal"] or not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != settings["parent"]:
        os._exit(0)


@contextlib.contextmanager
def _die_on_input(rest: bytes) -> Any:
    """While the model loads, have the kernel end this process when anything comes in, the end of the input included.

    That needs no thread of ours, and works whichever thread of the parent started us.
    """
    if rest:
        os._exit(0)
    try:
        import fcntl

        flags = fcntl.fcntl(0, fcntl.F_GETFL)
        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETFL, flags | os.O_ASYNC)
        if select.select([0], [], [], 0)[0]:
            os._exit(0)
    except (ImportError, OSError, AttributeError):
        yield
        return
    try:
        yield
    finally:
        fcntl.fcntl(0, fcntl.F_SETFL, flags)


def _parameters(engine: Any, settings: dict[str, Any]) -> Any:
    params = engine.CommonParams()
    params.model.path = settings["model"]
    params.n_ctx = settings["context"] * settings["slots"]  # the engine divides it among the slots
    params.n_parallel = settings["slots"]
    params.api_keys = [settings["key"]]
    params.hostnames = [settings["host"]]
    params.port = settings["port"]
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.verbosity = settings["verbosity"]
    params.cache_ram_mib = settings["cache_mib"]
    if settings["embeddings"]:
        params.embedding = True
        if settings["pooling_mean"]:
            params.pooling_type = engine.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        params.n_batch = params.n_ubatch = min(settings["context"], _MOST_AT_ONCE)  # a text is embedded in one go
    params.cors_origins = ""  # the default answers any web page
    if settings["template"] is not None:
        params.chat_template = settings["template"]
    # A template that goes on from a begun answer itself says so by naming the setting.
    prefill = "prefill_assistant" not in (settings["template"] or "")
    tidy = {"ui": False, "cors_credentials": False, "model_alias": {settings["alias"]}, "prefill_assistant": prefill}
    if not _has_gpu(engine):
        tidy["fit_params"] = False  # it sizes what goes to a GPU, and takes half of the start
    # These only tidy up; an engine that has renamed them still serves.
    for name, value in tidy.items():
        if hasattr(params, name):
            setattr(params, name, value)
        else:
            sys.stderr.write(f"this engine has no setting {name!r}\n")
    return params


def _has_gpu(engine: Any) -> bool:
    try:
        return any(not device["type"].name.endswith(("_CPU", "_ACCEL")) for device in engine.get_device_info())
    except (AttributeError, KeyError, TypeError, RuntimeError):
        return True


def _wait_for_the_end(born_to: int) -> bool:
    """Block until told to stop (`True`) or left alone (`False`)."""
    ended = threading.Event()
    told: list[bool] = []

    def end(graceful: bool) -> None:
        told.append(graceful)
        ended.set()

    def watch() -> None:
        # os.read, not sys.stdin: a daemon thread inside a buffered reader aborts the interpreter at exit.
        end(bool(os.read(0, 4096)))

    def terminated(_number: int, _frame: object) -> None:
        end(True)

    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=watch, daemon=True).start()
    while not ended.wait(0.25):
        # A copy of the pipe can outlive the parent, in a process that the parent forked.
        if os.name == "posix" and os.getppid() != born_to:
            end(False)
    return told[0]


def _wait_for_idle(url: str, key: str, grace: float) -> None:
    """Give running generations up to `grace` seconds."""
    request = urllib.request.Request(f"{url}/slots", headers={"Authorization": f"Bearer {key}"})  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + grace
    while time.monotonic() < end:
        try:
            with opener.open(request, timeout=1) as answer:
                slots = json.load(answer)
            if not any(slot["is_processing"] for slot in slots):
                return
        except (OSError, HTTPException, ValueError, KeyError, TypeError):
            return
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
