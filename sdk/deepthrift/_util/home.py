"""Where this user's own things are: the ledger, the budgets, what the router has learned."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def home() -> Path:
    """The data directory: `$DEEPTHRIFT_HOME`, else the user's data directory of this system."""
    chosen = os.environ.get("DEEPTHRIFT_HOME")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "deepthrift"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "deepthrift"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "deepthrift"
