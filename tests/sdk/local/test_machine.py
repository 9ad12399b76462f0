"""Whether a machine can run the engine, told before it tries."""

from __future__ import annotations

import asyncio
import importlib.util
import signal
from pathlib import Path

import pytest

from deepthrift.errors import MissingExtra, UnsupportedMachine
from deepthrift.local import Engine, check_machine
from deepthrift.local._engine.machine import describe_exit, import_failure, missing_instructions
from deepthrift.local._process.health import busy_slots
from tests.sdk.raw_server import plain, raw_server
from tests.support.waiting import PATIENCE

HASWELL = "processor\t: 0\nflags\t\t: fpu sse2 avx avx2 fma f16c bmi1 bmi2\n"
SANDY_BRIDGE = "processor\t: 0\nflags\t\t: fpu sse2 avx f16cx\n"


@pytest.fixture
def cpuinfo(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "cpuinfo"
        path.write_text(text)
        return path

    return write


def test_a_processor_that_has_everything(cpuinfo) -> None:
    check_machine(cpuinfo=cpuinfo(HASWELL), machine="x86_64")


def test_a_processor_that_is_too_old(cpuinfo) -> None:
    with pytest.raises(UnsupportedMachine, match="lacks avx2, fma, f16c, bmi2"):
        check_machine(cpuinfo=cpuinfo(SANDY_BRIDGE), machine="AMD64")


@pytest.mark.parametrize("machine", ["aarch64", "arm64", "riscv64"])
def test_other_processors_are_not_judged_by_x86_flags(cpuinfo, machine: str) -> None:
    assert missing_instructions(cpuinfo=cpuinfo(SANDY_BRIDGE), machine=machine) == ()


def test_systems_that_do_not_describe_their_processor_are_let_through(tmp_path: Path, cpuinfo) -> None:
    assert missing_instructions(cpuinfo=tmp_path / "none", machine="x86_64") == ()
    assert missing_instructions(cpuinfo=cpuinfo("processor: 0\n"), machine="x86_64") == ()


def without_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "xllamacpp" else find(name))


async def test_the_missing_extra_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_engine(monkeypatch)
    with pytest.raises(MissingExtra, match=r'pip install "deepthrift\[local\]"'):
        check_machine()
    with pytest.raises(ImportError, match="not installed"):
        async with Engine(tmp_path / "model.gguf"):
            pass


@pytest.mark.parametrize(
    ("message", "kind", "hint"),
    [
        ("libgomp.so.1: cannot open shared object file", UnsupportedMachine, "apt-get install libgomp1"),
        ("libstdc++.so.6: version `GLIBCXX_3.4.30' not found", UnsupportedMachine, r"apt-get install libstdc\+\+6"),
        ("No module named 'xllamacpp'", MissingExtra, "pip install"),
        ("dlopen: wrong architecture", UnsupportedMachine, "--force-reinstall"),
    ],
)
def test_import_errors_say_what_mends_them(message: str, kind: type[Exception], hint: str) -> None:
    found = import_failure(message)
    assert type(found) is kind
    with pytest.raises(kind, match=hint):
        raise found


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-4, "illegal instruction"),
        (0xC000001D, "illegal instruction"),
        (-9, "memory ran out"),
        (-signal.SIGSEGV, "SIGSEGV"),
        (-63, "signal"),
        (7, "exit code 7"),
    ],
)
def test_exit_codes_are_described(code: int, words: str) -> None:
    assert words in describe_exit(code)


@pytest.mark.engine
async def test_a_missing_system_library_is_told_when_the_engine_starts(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child finds an engine that cannot be loaded, exactly as in a slim container."""
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('libgomp.so.1: cannot open shared object file')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UnsupportedMachine, match="apt-get install libgomp1"):
        async with Engine(tiny):
            pass


@pytest.mark.engine
async def test_an_illegal_instruction_is_told(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xllamacpp.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UnsupportedMachine, match="AVX2"):
        async with Engine(tiny):
            pass


@pytest.mark.parametrize(
    "broken",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[{",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"nonsense\r\n\r\n",
        plain(b"[1]"),
        plain(b'[{"is_processing": false}', status="500 Oh"),
    ],
)
async def test_an_engine_that_dies_while_it_is_asked_does_not_say_how_busy_it_is(broken: bytes) -> None:
    async with raw_server(lambda _: [broken, 0.0]) as server:
        url = server.url.removesuffix("/v1")
        assert await asyncio.wait_for(asyncio.to_thread(busy_slots, url, "key"), PATIENCE) is None
