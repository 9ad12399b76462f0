"""Whether this machine can run the engine: asked before it is started, because it would die without a word."""

from __future__ import annotations

import importlib.util
import platform
import signal
from pathlib import Path
from typing import Final

from deepthrift._types.errors import EngineError, MissingExtra, UnsupportedMachine

INSTALL_HINT: Final = 'pip install "deepthrift[local]"'
_CPUINFO: Final = Path("/proc/cpuinfo")
_X86: Final = frozenset({"x86_64", "amd64", "i686", "i386"})
# What the engine's x86 wheel is compiled for; it dies of an illegal instruction without them.
_NEEDED_FLAGS: Final = ("avx2", "fma", "f16c", "bmi2")
_DEBIAN_PACKAGES: Final = {"libgomp": "libgomp1", "libstdc++": "libstdc++6", "libgcc_s": "libgcc-s1"}
_ILLEGAL_INSTRUCTION: Final = 0xC000001D
KILLED_FOR_MEMORY: Final = "killed by the system because memory ran out (SIGKILL)"
KILLED_BY_SOMEONE: Final = "killed by someone (SIGKILL); memory did not run out as far as the system tells"
_NO_EXTRA: Final = f"The embedded engine is not installed: run `{INSTALL_HINT}`."


def check_machine(*, cpuinfo: Path = _CPUINFO, machine: str | None = None) -> None:
    """Check that the engine is installed and that the processor has the instructions it was built with.

    Args:
        cpuinfo: Where Linux describes the processor. A system without this file is not checked.
        machine: The machine type; by default this machine's.

    Raises:
        MissingExtra: The `local` extra is not installed.
        UnsupportedMachine: The processor lacks an instruction set.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise MissingExtra(_NO_EXTRA)
    missing = missing_instructions(cpuinfo=cpuinfo, machine=machine)
    if missing:
        raise UnsupportedMachine(
            f"This processor lacks {', '.join(missing)}, which the embedded engine is built with: "
            "use a machine with AVX2 (x86 since 2013), or point the client at an endpoint elsewhere."
        )


def missing_instructions(*, cpuinfo: Path = _CPUINFO, machine: str | None = None) -> tuple[str, ...]:
    """The instruction sets that this x86 processor lacks; empty where that cannot be told."""
    if (machine or platform.machine()).lower() not in _X86:
        return ()
    try:
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            present = frozenset(value.split())
            return tuple(flag for flag in _NEEDED_FLAGS if flag not in present)
    return ()


def import_failure(message: str) -> EngineError:
    """Turn the engine's own import error into one that says what mends it."""
    for library, package in _DEBIAN_PACKAGES.items():
        if library in message:
            return UnsupportedMachine(
                f"The system library {library} is missing ({message}): install it, on Debian or Ubuntu with "
                f"`apt-get install {package}`."
            )
    if "No module named" in message and "xllamacpp" in message:
        return MissingExtra(_NO_EXTRA)
    return UnsupportedMachine(
        f"The embedded engine cannot be loaded on this system ({message}): reinstall it with "
        f"`{INSTALL_HINT} --force-reinstall`, or point the client at an endpoint elsewhere."
    )


def is_illegal_instruction(returncode: int) -> bool:
    """Whether a process ended because its processor did not know an instruction."""
    return returncode in (-getattr(signal, "SIGILL", 4), _ILLEGAL_INSTRUCTION)


def describe_exit(returncode: int) -> str:
    """How a process ended, for a person to read."""
    if is_illegal_instruction(returncode):
        return "of an illegal instruction: this processor lacks something that the engine is built with"
    if returncode == -9:
        return "killed by the system or by someone (SIGKILL); the usual cause is that memory ran out"
    if returncode < 0:
        try:
            return f"of signal {signal.Signals(-returncode).name}"
        except ValueError:
            return f"of signal {-returncode}"
    return f"with exit code {returncode}"
