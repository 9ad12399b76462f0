"""Memory: what a model takes, what is free, and how running out of it is told."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from deepthrift.errors import NotEnoughMemory
from deepthrift.local import Engine, read_header
from deepthrift.local._engine.memory import available_bytes, cache_bytes, kills, needed_bytes, said_out_of_memory
from deepthrift.local._engine.settings import EngineSettings, Plan, spawn
from deepthrift.local._process.crashes import Crash
from deepthrift.local._process.logfile import LogFile

pytestmark = pytest.mark.engine


def test_what_a_model_takes(tiny: Path) -> None:
    header = read_header(tiny)
    shape = {"block_count": 61, "attention.head_count_kv": 1, "attention.key_length": 576}
    v31 = replace(header, metadata={f"deepseek2.{key}": value for key, value in shape.items()} | {
        "deepseek2.attention.kv_lora_rank": 512, "deepseek2.attention.value_length": 512
    })  # fmt: skip
    assert cache_bytes(v31, 1) == 61 * 576 * 2, "one vector for keys and values"
    plain = replace(header, architecture="llama", metadata={
        "llama.block_count": 30, "llama.embedding_length": 576, "llama.attention.head_count": 9,
        "llama.attention.head_count_kv": 3,
    })  # fmt: skip
    assert cache_bytes(plain, 2048) == 30 * 3 * 128 * 2 * 2048
    assert cache_bytes(replace(plain, metadata={**plain.metadata, "llama.attention.sliding_window": 512}), 2048) == (
        30 * 3 * 128 * 2 * 512
    )
    assert cache_bytes(replace(plain, metadata={}), 2048) == 0
    assert needed_bytes(header, 4096) > header.size


def test_what_is_free(tmp_path: Path) -> None:
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    for folder in (proc, cgroup):
        folder.mkdir()
    assert available_bytes(proc=proc, cgroup=cgroup) is None
    assert kills(proc=proc, cgroup=cgroup) is None
    (proc / "meminfo").write_text("MemTotal: 16000 kB\nMemAvailable:   8000 kB\n")
    (proc / "vmstat").write_text("oom_kill 7\n")
    assert available_bytes(proc=proc, cgroup=cgroup) == 8_192_000
    assert kills(proc=proc, cgroup=cgroup) == 7
    (cgroup / "memory.max").write_text("max\n")
    assert available_bytes(proc=proc, cgroup=cgroup) == 8_192_000
    (cgroup / "memory.max").write_text("5000\n")
    (cgroup / "memory.current").write_text("4000\n")
    (cgroup / "memory.stat").write_text("anon 1\ninactive_file 500\n")
    (cgroup / "memory.events").write_text("oom 2\noom_kill 2\n")
    assert available_bytes(proc=proc, cgroup=cgroup) == 1500
    assert kills(proc=proc, cgroup=cgroup) == 2


async def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepthrift.local._engine.memory.available_bytes", lambda: 50_000_000)
    with pytest.raises(NotEnoughMemory, match=r"needs about 0\.1 GB .*0\.1 GB are free.*check_memory=False"):
        async with Engine(tiny):
            pass


async def test_a_model_that_does_not_fit_can_be_tried_all_the_same(tiny: Path) -> None:
    settings = EngineSettings(model=tiny, check_memory=False)
    plan = Plan(read_header(tiny), "tiny", 4096)
    told: list[dict[str, object]] = []

    def take(given: dict[str, object], **_: object) -> None:
        told.append(given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepthrift.local._engine.settings.Child", take)
        for chosen in (settings, replace(settings, check_memory=True)):
            spawn(chosen, plan, key="", last_port=0, sink=None)
    assert [given["memory_needed"] for given in told] == [None, needed_bytes(plan.header, 4096)]


SHORT = """
import sys
class CommonParams:
    def __init__(self):
        self.model = self.cpuparams = self.cpuparams_batch = type("Part", (), {})()
def Server(params):
    sys.stderr.write("ggml_aligned_malloc: insufficient memory (unable to allocate 400 MB)\\n")
    sys.stderr.flush()
    raise RuntimeError("Failed to init server")
"""


async def test_a_load_that_runs_out_of_memory_is_told(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xllamacpp.py").write_text(SHORT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(NotEnoughMemory, match=r"(?s)smaller model or context.*unable to allocate"):
        async with Engine(tiny):
            pass


@pytest.mark.parametrize(
    ("crash", "words"),
    [
        (Crash(-9, True, ""), "killed by the system because memory ran out.*smaller model"),
        (Crash(-9, False, ""), "killed by someone"),
        (Crash(-9, None, ""), "the usual cause is that memory ran out"),
        (Crash(-6, True, "std::bad_alloc"), "SIGABRT: it could not get the memory"),
        (Crash(-11, None, "a\nb"), "(?s)SIGSEGV.*starts it again.*log:\na\nb"),
        (Crash(1, None, ""), "exit code 1"),
    ],
)
def test_what_an_engine_died_of(crash: Crash, words: str) -> None:
    error = crash.error()
    assert re.search(words, error.message)
    assert (error.exit_code, error.out_of_memory, error.log) == (crash.code, crash.out_of_memory, crash.log)


def test_words_for_no_memory() -> None:
    assert said_out_of_memory("x\nllama: failed to allocate buffer for kv cache")
    assert not said_out_of_memory("unknown model architecture")


def test_a_log_in_a_file_is_private_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "engine.log"
    log = LogFile(path, most=1000)
    for number in range(200):
        log(f"line {number}, größer")
    both = [path, path.with_name("engine.log.1")]
    assert sorted(path.parent.iterdir()) == sorted(both)
    assert all(each.stat().st_size <= 1000 and each.stat().st_mode & 0o077 == 0 for each in both)
    assert path.read_text().splitlines()[-1] == "line 199, größer"


async def test_the_engine_keeps_its_log_in_a_file(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    (tmp_path / "odd.gguf").write_bytes(tiny.read_bytes().replace(b"deepseek2", b"deepseek0"))
    with pytest.raises(Exception, match="could not load"):
        async with Engine(tmp_path / "odd.gguf", log=path):
            pass
    assert "unknown model architecture" in path.read_text()
