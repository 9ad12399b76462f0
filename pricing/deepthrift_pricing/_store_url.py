"""Which store a ledger's URL names. The database's own modules are loaded with the first ledger in it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from deepthrift_pricing._shown_url import without_secrets_in
from deepthrift_pricing._store import Store
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
            from deepthrift_pricing._store_postgres import PostgresStore

            return PostgresStore(url)
        if scheme != "sqlite" or not rest.startswith("/") or len(rest) == 1:
            raise ConfigurationError(
                f"{safe_url(url)!r} names no ledger; use 'memory:', 'sqlite:///spend.db', "
                "'sqlite:////an/absolute/path.db', 'postgresql://user@host/database', or a Path"
            )
        file = Path(unquote(rest[1:])).expanduser()
    from deepthrift_pricing._store_sqlite import SqliteStore

    return SqliteStore(file)


def safe_url(url: str) -> str:
    """`url` without its password, for messages and logs."""
    if "://" not in url or url.startswith("sqlite:"):
        return url  # as it was written: slashes count in the path of a file
    shown = without_secrets_in(url)
    scheme, mark, rest = url.partition("://")
    user, at, _ = rest.partition("@")
    name = user.partition(":")[0]
    return shown if not at or "/" in name or "?" in name else f"{scheme}{mark}{name}@{shown[len(scheme) + len(mark) :]}"


def without_schema(url: str) -> tuple[str, str]:
    """`url` as libpq takes it, to the letter, and the name of the schema that `?schema=…` says.

    Raises:
        ConfigurationError: The schema's name is impossible.
    """
    place, question, query = url.partition("?")
    kept: list[str] = []
    schema = "deepthrift"
    for setting in query.split("&") if question else ():
        name, _, value = setting.partition("=")
        if unquote(name) == "schema":
            schema = unquote(value)
        elif setting:
            kept.append(setting)
    if not schema or len(schema.encode("utf-8", "replace")) > 63 or "\0" in schema or schema.startswith("pg_"):
        raise ConfigurationError(f"{schema!r} cannot be the name of a schema; use letters, digits and underscores")
    return (f"{place}?{'&'.join(kept)}" if kept else place), schema
