"""Where the command line keeps its own things: the ledger and the budgets."""

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


def default_ledger() -> Path:
    """The ledger used when no other is named."""
    return home() / "spend.db"


def budgets_file() -> Path:
    """The file in which `deepthrift budget` keeps the budgets of the default ledger."""
    return home() / "budgets.json"


def chat_history() -> Path:
    """The lines that were typed in `deepthrift chat`."""
    return home() / "chat_history"


def router_store() -> Path:
    """The router's store of answers: features, hashes and outcomes, no text."""
    return home() / "router.db"


def router_settings() -> Path:
    """The folder of the router's settings."""
    return home() / "router"
