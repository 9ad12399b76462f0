"""The memory that a model takes and that this machine has, told before a load that would fail or be killed."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from deepthrift.local._models.gguf import GGUFHeader

_PROC: Final = Path("/proc")
_CGROUP: Final = Path("/sys/fs/cgroup")
_WORKING_BYTES: Final = 100_000_000
"""What llama.cpp's buffers and the process itself took with small models, measured; large ones take more."""
_CACHE_NUMBER: Final = 2
"""Bytes of a number in the cache of keys and values."""
_UNLIMITED: Final = 2**60


def needed_bytes(header: GGUFHeader, tokens: int) -> int:
    """Memory that the engine takes at least: the weights, the cache of `tokens` tokens of context, and its buffers.

    Args:
        header: The model.
        tokens: Tokens of context of all slots together.
    """
    return header.size + cache_bytes(header, tokens) + _WORKING_BYTES


def cache_bytes(header: GGUFHeader, tokens: int) -> int:
    """The size of the cache of keys and values; 0 where the file does not tell the model's shape."""

    def number(key: str) -> int:
        value = header.metadata.get(f"{header.architecture}.{key}")
        return value if isinstance(value, int) and not isinstance(value, bool) else 0

    layers, width, heads = number("block_count"), number("embedding_length"), number("attention.head_count")
    each = width // heads if heads else 0
    key, value = number("attention.key_length") or each, number("attention.value_length") or each
    if number("attention.kv_lora_rank"):
        value = 0  # latent attention keeps one vector for both
    window = number("attention.sliding_window")
    if window:
        tokens = min(tokens, window)  # some layers keep more: this is the least
    return layers * (number("attention.head_count_kv") or heads) * (key + value) * _CACHE_NUMBER * tokens


def available_bytes(*, proc: Path = _PROC, cgroup: Path = _CGROUP) -> int | None:
    """Memory that new processes can have, the container's own limit included; `None` where it cannot be told.

    Args:
        proc: Where Linux tells of its memory.
        cgroup: Where Linux tells of a container's.
    """
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = (proc / "meminfo").read_text("ascii").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    names = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
    for limit, used in names:
        with contextlib.suppress(OSError, ValueError):
            most = int((cgroup / limit).read_text("ascii"))  # "max" is no limit
            if most < _UNLIMITED:
                found.append(max(0, most - int((cgroup / used).read_text("ascii")) + _cached(cgroup / limit)))
    return min(found, default=None)


def _cached(limit: Path) -> int:
    """Bytes of files that a container's memory holds and can let go."""
    with contextlib.suppress(OSError, ValueError):
        for line in (limit.parent / "memory.stat").read_text("ascii").splitlines():
            name, _, value = line.partition(" ")
            if name in ("inactive_file", "total_inactive_file"):
                return int(value)
    return 0


def kills(*, proc: Path = _PROC, cgroup: Path = _CGROUP) -> int | None:
    """How many processes the system has killed so far because memory ran out; `None` where it does not tell."""
    for path in (cgroup / "memory.events", proc / "vmstat"):
        with contextlib.suppress(OSError, ValueError):
            for line in path.read_text("ascii").splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    return None


def said_out_of_memory(log: str) -> bool:
    """Whether an engine's log says that it could not get the memory it needed."""
    low = log.lower()
    return any(
        words in low
        for words in (
            "failed to allocate",
            "unable to allocate",
            "bad_alloc",
            "cannot allocate memory",
            "out of memory",
        )
    )
