"""Ledgers on every kind of store: in memory, in a file, and in PostgreSQL where a server for tests is at hand."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

SERVER = os.environ.get("DEEPTHRIFT_TEST_POSTGRES", "postgresql://127.0.0.1:5432/test")
"""A database named `test` that needs no password, unless the environment names another."""
STORES = ("memory", "sqlite", "postgres")


@lru_cache(maxsize=1)
def server_is_up() -> bool:
    """Whether a PostgreSQL server for tests can be reached."""
    try:
        import psycopg

        psycopg.connect(SERVER, connect_timeout=2).close()
    except Exception:
        return False
    return True


@contextlib.contextmanager
def postgres_url() -> Iterator[str]:
    """The URL of a new schema, which is dropped in the end.

    Where there is no server, the test is skipped; in continuous integration (`CI=true`) it fails.
    """
    if not server_is_up():
        missing = "no PostgreSQL server for tests at hand; name one in DEEPTHRIFT_TEST_POSTGRES"
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(missing)
        pytest.skip(missing)
    import psycopg

    schema = f"deepthrift_test_{secrets.token_hex(6)}"
    sign = "&" if "?" in SERVER else "?"
    try:
        yield f"{SERVER}{sign}schema={schema}"
    finally:
        with psycopg.connect(SERVER, autocommit=True) as connection:
            connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE'.encode())


@contextlib.contextmanager
def store_url(kind: str, folder: Path) -> Iterator[str]:
    """The URL of a new ledger of this kind."""
    if kind == "memory":
        yield "memory:"
    elif kind == "sqlite":
        yield f"sqlite:///{folder / 'spend.db'}"
    else:
        with postgres_url() as url:
            yield url
