"""Run a command where only this machine can be reached."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Sequence

_SHUT = 'ip link set lo up && exec "$@"'


@functools.cache
def can_go_offline() -> bool:
    """Whether this user may start a process in a network of its own, which has nothing but loopback."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    done = subprocess.run(offline(["true"]), capture_output=True, check=False)
    return done.returncode == 0


def offline(command: Sequence[str]) -> list[str]:
    """`command`, to be run with no network but loopback."""
    return ["unshare", "--net", "--map-root-user", "sh", "-c", _SHUT, "sh", *command]
