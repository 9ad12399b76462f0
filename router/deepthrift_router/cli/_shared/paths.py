"""Where the command line keeps its own things: the ledger and the budgets."""

from __future__ import annotations

from pathlib import Path

from deepthrift.shared.files import home


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
