"""A system without user namespaces, for a test: a namespace in which no further one may be made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_SHUT_OFF = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
ROOT = Path(__file__).parents[2]


def without_user_namespaces(code: str, *arguments: str) -> str:
    """What `code` prints, run by this interpreter where user namespaces are shut off, as on hardened systems."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        pytest.skip("needs Linux and unshare")
    enter = ["unshare", "--user", "--map-root-user", "sh", "-c", _SHUT_OFF, "sh"]
    if subprocess.run([*enter, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no user namespace can be made here")
    paths = os.pathsep.join(str(ROOT / each) for each in ("sdk", "router", "pricing", ""))
    done = subprocess.run(
        [*enter, sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
