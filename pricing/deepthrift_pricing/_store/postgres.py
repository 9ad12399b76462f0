"""The ledger's store in PostgreSQL, for a fleet: one schema that many machines share."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Sequence
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, cast
from urllib.parse import parse_qsl, urlsplit

from deepthrift_pricing._store.protocol import Row, Value
from deepthrift_pricing._store.schema import VERSION, statements_since
from deepthrift_pricing._store.url import safe_url, without_schema
from deepthrift_pricing._values.errors import ConfigurationError, LedgerClosed, LedgerError, LedgerUnavailable
from deepthrift_pricing._values.shown_url import HIDDEN, url_secrets

if TYPE_CHECKING:
    import psycopg

LOCK_SECONDS: Final = 10
"""How long a writer waits for the others, each of which takes a few round trips."""
_CONNECT_SECONDS: Final = 10
_LOCK_KEY: Final = "hashtextextended('deepthrift ' || current_schema(), 0)"
_BEGIN_WRITE: Final = f"BEGIN; SELECT pg_advisory_xact_lock({_LOCK_KEY})".encode()
_BEGIN_READ: Final = b"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"


class PostgresStore:
    """A ledger in one schema of a PostgreSQL database, `deepthrift` unless the URL says `?schema=…`.

    It has one connection for writing and one for reading, so that reads don't wait while another machine holds the
    ledger's lock.
    """

    def __init__(self, url: str) -> None:
        """Opens the ledger, and creates its schema and tables where there are none.

        Raises:
            ConfigurationError: `deepthrift[postgres]` is not installed, or the schema's name is impossible.
            LedgerUnavailable: The database cannot be reached or written.
            LedgerError: The schema is of something else, or was made by a newer version.
        """
        self._url, self._schema = without_schema(url)
        self._name = safe_url(url)
        self._writer = PostgresLink(self)
        self._reader = PostgresLink(self)
        self._write = _Transaction(self._writer, _BEGIN_WRITE)
        self._read = _Transaction(self._reader, _BEGIN_READ)
        try:
            import psycopg
        except ImportError as error:
            raise ConfigurationError(
                "a ledger in PostgreSQL needs an extra; install it: pip install 'deepthrift[postgres]'"
            ) from error
        self.error: type[Exception] = psycopg.Error
        self._writer.open()

    @property
    def shared(self) -> bool:
        """Other processes may use it at the same time."""
        return True

    @property
    def lock_seconds(self) -> float:
        """How long a transaction waits for others at most."""
        return LOCK_SECONDS

    @property
    def reads_wait(self) -> bool:
        """A read waits for the network, and for who has locked a table."""
        return True

    @property
    def tag_sql(self) -> str:
        """The expression for the value of a tag of an attempt, with one parameter: the tag's name."""
        return "(CAST(attempts.tags AS jsonb) ->> CAST(? AS text))"

    def write(self) -> _Transaction:
        """A transaction that no other writer can come between."""
        return self._write

    def read(self) -> _Transaction:
        """A consistent view."""
        return self._read

    def compact(self) -> None:
        """Nothing to do: PostgreSQL's autovacuum sees to it."""

    def connection(self) -> psycopg.Connection[tuple[Value, ...]]:
        """The connection for writing, made anew if it was lost."""
        return self._writer.connection()

    def close(self) -> None:
        """Closes the connections."""
        self._reader.close()
        self._writer.close()

    def connect(self, *, new: bool) -> psycopg.Connection[tuple[Value, ...]]:
        """A new connection; `new` makes the tables where there are none."""
        import psycopg
        from psycopg import sql
        from psycopg.conninfo import make_conninfo

        connection: psycopg.Connection[tuple[Value, ...]] | None = None
        try:
            place = make_conninfo(self._url, **_liveness(self._url))
            connection = psycopg.connect(place, autocommit=True, connect_timeout=_CONNECT_SECONDS)
            schema = sql.Identifier(self._schema)
            if new:
                self._migrate(connection, schema)
            connection.execute(sql.SQL("SET search_path TO {}").format(schema))
            connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(f"{LOCK_SECONDS}s")))
        except psycopg.Error as error:
            if connection is not None:
                connection.close()
            secret = any(each in str(error) for each in url_secrets(self._url))
            raise self.failed(error) from (None if secret else error)
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        return connection

    def _migrate(self, connection: psycopg.Connection[tuple[Value, ...]], schema: object) -> None:
        from psycopg import sql

        with connection.transaction():
            # Two machines that open a new ledger at once must not both create it.
            connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended('deepthrift ' || %s, 0))", (self._schema,)
            )
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(cast("sql.Identifier", schema)))
            connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(cast("sql.Identifier", schema)))
            tables = {
                row[0]
                for row in connection.execute(
                    "SELECT table_name FROM information_schema.tables WHERE table_schema = %s", (self._schema,)
                )
            }
            if not tables:
                for statement in statements_since(0):
                    connection.execute(statement.encode())
                connection.execute("INSERT INTO ledger (name, value) VALUES ('schema_version', %s)", (VERSION,))
                return
            if not {"ledger", "attempts", "budget_windows"} <= tables:
                raise LedgerError(f"the schema {self._schema!r} is of something else; choose another with ?schema=…")
            row = connection.execute("SELECT value FROM ledger WHERE name = 'schema_version'").fetchone()
            version = int(cast("int", row[0])) if row else 0
            if version < VERSION:
                # Adding columns takes a moment, but first the table's lock: the transactions under way have to end.
                connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'".encode())
                for statement in statements_since(version):
                    connection.execute(statement.encode())
                connection.execute("UPDATE ledger SET value = %s WHERE name = 'schema_version'", (VERSION,))
            elif version > VERSION:
                raise LedgerError(
                    f"the ledger {self._name!r} was made by a newer Deepthrift (its version is {version}, this one "
                    f"knows {VERSION}); upgrade Deepthrift"
                )

    def failed(self, error: Exception) -> LedgerError:
        """`error` in words that say what to do, without the password."""
        text = " ".join(str(error).split())
        for secret in url_secrets(self._url):
            text = text.replace(secret, HIDDEN)
        state = getattr(error, "sqlstate", None) or ""
        passing = state == "55P03" or state.startswith(("08", "57P", "40")) or (not state and self._is_lost(error))
        if state == "55P03":
            advice = f"other machines have kept it locked for {LOCK_SECONDS} s; look for one that hangs"
        elif state.startswith("53"):
            advice = "make room on its disk, or allow it more connections, then call again"
        elif state.startswith(("28", "42501")):
            advice = "check the user, the password and the rights on the schema"
        else:
            advice = "check that it runs and can be reached; nothing was changed, so call again"
        failure = LedgerUnavailable(f"the ledger {self._name!r} is not available: {text}; {advice}")
        failure.passing = passing
        return failure

    @staticmethod
    def _is_lost(error: Exception) -> bool:
        """Whether it's about the connection: it was lost, or there is none while the server starts."""
        import psycopg

        return isinstance(error, psycopg.OperationalError)


_ABANDONED: Final[list[object]] = []
"""Connections of the parent, seen from a forked child, which must neither use nor close them."""


class PostgresLink:
    """One connection to the database, for one thread at a time, and never across a fork."""

    def __init__(self, store: PostgresStore) -> None:
        self.store = store
        self._lock = threading.RLock()
        self._connection: psycopg.Connection[tuple[Value, ...]] | None = None
        self._process = os.getpid()
        self._closed = False
        self.inside = False
        """Whether a transaction is open in this process."""

    @property
    def error(self) -> type[Exception]:
        """The base of the database's errors."""
        return self.store.error

    def failed(self, error: Exception) -> LedgerError:
        """`error` in words that say what to do."""
        return self.store.failed(error)

    def open(self) -> None:
        """Connects, and makes the tables where there are none."""
        self._connection = self.store.connect(new=True)

    def acquire(self, seconds: float = -1) -> bool:
        """Takes the connection for this thread."""
        if self._process != os.getpid():  # a connection must not cross a fork; the child makes its own
            self._lock = threading.RLock()
            self.inside = False
            self._process = os.getpid()
            _ABANDONED.append(self._connection)
            self._connection = None
        return self._lock.acquire(timeout=seconds)

    def give_back(self) -> None:
        """Leaves the connection to other threads."""
        self._lock.release()

    def drop(self) -> None:
        """Closes the connection; the next transaction makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def connection(self) -> psycopg.Connection[tuple[Value, ...]]:
        """The connection, made anew if it was lost."""
        if self._closed:
            raise LedgerClosed("the ledger is closed; open it again with Ledger.open()")
        if self._connection is None or self._connection.closed:
            self._connection = self.store.connect(new=False)
        return self._connection

    def close(self) -> None:
        """Closes the connection; a transaction of another thread gets a while to end, and is undone then."""
        self._closed = True
        if not self.acquire(self.store.lock_seconds):
            self._hang_up()
            return
        try:
            self.drop()
        finally:
            self.give_back()

    def _hang_up(self) -> None:
        """Ends what another thread waits for, which then sees to the rest."""
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(self.error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)


class _Transaction:
    """A transaction of the link; one at a time, so it is made once."""

    __slots__ = ("_begin", "_connection", "_link")

    def __init__(self, link: PostgresLink, begin: bytes) -> None:
        self._link = link
        self._begin = begin
        self._connection: psycopg.Connection[tuple[Value, ...]] | None = None

    def __enter__(self) -> _Transaction:
        link = self._link
        link.acquire()
        try:
            if link.inside:
                raise LedgerError("the ledger was called from inside its own transaction, by a finalizer or a signal")
            fresh = link.connection()
            try:
                self._start(fresh)
            except link.error:
                if not fresh.closed:
                    raise
                # It was lost since its last use. Nothing was asked of it yet, so ask once more.
                link.drop()
                self._start(link.connection())
            link.inside = True
        except link.error as error:
            link.drop()
            link.give_back()
            raise link.failed(error) from error
        except BaseException:
            link.give_back()
            raise
        return self

    def _start(self, connection: psycopg.Connection[tuple[Value, ...]]) -> None:
        if connection.info.transaction_status:  # an interrupt struck between a statement and its end
            connection.execute("ROLLBACK")
        connection.execute(self._begin)
        self._connection = connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        link = self._link
        connection = cast("psycopg.Connection[tuple[Value, ...]]", self._connection)
        link.inside = False
        try:
            connection.execute("COMMIT" if kind is None else "ROLLBACK")
        except link.error as failure:
            link.drop()
            if not isinstance(error, link.error):
                raise link.failed(failure) from failure
        finally:
            link.give_back()
        if isinstance(error, link.error):
            raise link.failed(error) from error
        return False

    def all(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Every row of a query."""
        connection = cast("psycopg.Connection[tuple[Value, ...]]", self._connection)
        return connection.execute(_translated(sql), values).fetchall()

    def one(self, sql: str, values: Sequence[Value] = ()) -> Row | None:
        """The first row of a query, or `None`."""
        connection = cast("psycopg.Connection[tuple[Value, ...]]", self._connection)
        return connection.execute(_translated(sql), values).fetchone()

    def run(self, sql: str, values: Sequence[Value] = ()) -> int:
        """A statement that changes rows; returns how many."""
        connection = cast("psycopg.Connection[tuple[Value, ...]]", self._connection)
        return connection.execute(_translated(sql), values).rowcount


@lru_cache(maxsize=256)
def _translated(sql: str) -> bytes:
    """The ledger's statements mark parameters with `?`, and hold neither `?` nor `%` otherwise."""
    return sql.replace("?", "%s").encode()


def _liveness(url: str) -> dict[str, int]:
    """Settings with which a server that has vanished from the network is noticed; those in the URL come first."""
    settings = {
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    given = {name for name, _ in parse_qsl(urlsplit(url).query)}
    return {name: value for name, value in settings.items() if name not in given}
