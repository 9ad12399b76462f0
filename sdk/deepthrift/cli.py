"""The command line under the name that it had: it is in the router package, which this one doesn't import."""

from __future__ import annotations

from importlib.metadata import entry_points

__all__ = ["main"]


def main() -> None:
    """Run the command `deepthrift`, as it is installed."""
    (command,) = set(entry_points(group="console_scripts", name="deepthrift"))
    command.load()()
