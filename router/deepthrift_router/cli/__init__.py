"""The `deepthrift` command: demo, ask, chat, route, count, price, spend, budget, models, engine, doctor.

It needs the `cli` extra (click and rich). Each command lives in its own module, loaded when it is called.
"""

from __future__ import annotations

import importlib.util
import io
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line with the arguments of this process, and exit with its code."""
    missing = [name for name in ("click", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        sys.stderr.write(f"deepthrift: the command line needs {names}: python -m pip install 'deepthrift[cli]'\n")
        raise SystemExit(1)
    # An answer may hold what the terminal or pipe has no letter for: it is escaped, for it is paid for already.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    from deepthrift_router.cli._app import cli

    cli.main(prog_name="deepthrift")
