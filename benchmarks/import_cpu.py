"""Processor time of importing the packages, in fresh processes: the least of many runs, in milliseconds.

The aim is 170 ms for `import deepthrift`; httpx, pydantic and tenacity alone are most of it.
"""

from __future__ import annotations

import os
import subprocess
import sys

RUNS = 15
AIM = 170.0
MODULES = [
    "httpx, pydantic, tenacity",
    "deepthrift_pricing",
    "deepthrift",
    "deepthrift_router",
    "deepthrift_router.cli",
]
PROBE = "import time; began = time.process_time(); import {}; print((time.process_time() - began) * 1000)"


def least(modules: str) -> float:
    """The least processor time of importing `modules`, in milliseconds, from bytecode as after an installation."""
    command = [sys.executable, "-c", PROBE.format(modules)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def once() -> float:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return float(done.stdout)

    once()
    return min(once() for _ in range(RUNS))


def main() -> None:
    for modules in MODULES:
        milliseconds = least(modules)
        note = f"  (aim: {AIM:.0f})" if modules == "deepthrift" else ""
        print(f"{milliseconds:7.1f} ms  import {modules}{note}")


if __name__ == "__main__":
    main()
