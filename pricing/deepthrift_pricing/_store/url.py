"""Which store a ledger's URL names. The database's own modules are loaded with the first ledger in it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from deepthrift_pricing._store.protocol import Store
from deepthrift_pricing.errors import ConfigurationError


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


def safe_url(url: str) -> str:
    """`url` without its password, for messages and logs."""
    if "://" not in url or url.startswith("sqlite:"):
        return url  # as it was written: slashes count in the path of a file
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    settings = [(name, value) for name, value in parse_qsl(parts.query) if "pass" not in name.lower()]
    netloc = f"{user.partition(':')[0]}{at}{place}"
    return urlunsplit(parts._replace(netloc=netloc, query=urlencode(settings)))
