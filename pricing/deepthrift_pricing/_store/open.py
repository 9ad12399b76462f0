"""Opens the store that a ledger's URL names. A database's own module is loaded with the first ledger in it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from deepthrift_pricing._store.protocol import Store
from deepthrift_pricing._store.url import safe_url
from deepthrift_pricing._values.errors import ConfigurationError


def open_store(url: str | Path) -> Store:
    """The store that `url` names.

    Raises:
        ConfigurationError: It names none.
    """
    file: Path | None = None
    if isinstance(url, Path):
        file = url
    elif url != "memory:":
        scheme, _, rest = url.partition("://")
        if scheme in ("postgresql", "postgres"):
            from deepthrift_pricing._store.postgres import PostgresStore

            return PostgresStore(url)
        if scheme != "sqlite" or not rest.startswith("/") or len(rest) == 1:
            raise ConfigurationError(
                f"{safe_url(url)!r} names no ledger; use 'memory:', 'sqlite:///spend.db', "
                "'sqlite:////an/absolute/path.db', 'postgresql://user@host/database', or a Path"
            )
        file = Path(unquote(rest[1:])).expanduser()
    from deepthrift_pricing._store.sqlite import SqliteStore

    return SqliteStore(file)
