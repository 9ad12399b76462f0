"""The reading side of the ledger: attempts, spend, budgets, and the lengths of earlier answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

from deepthrift_pricing._attempt import Attempt
from deepthrift_pricing._budget import Budget, BudgetStatus
from deepthrift_pricing._counters import Counters
from deepthrift_pricing._identities import ModelIdentity, identity_rows
from deepthrift_pricing._pages import attempt_pages
from deepthrift_pricing._records import SELECT, SELECT_USAGE, Outcome, attempt_of, usage_of
from deepthrift_pricing._refusal_counts import RefusalRow, refusal_rows
from deepthrift_pricing._schema import FURTHER, ON_RECORD
from deepthrift_pricing._spend import SpendRow, spend_rows
from deepthrift_pricing._store import Store, Transaction, Value
from deepthrift_pricing._usage import Mode, Usage
from deepthrift_pricing._window import micros
from deepthrift_pricing.errors import LedgerClosed, LedgerUnavailable, UnknownReservation

Decide = Callable[[Attempt], Outcome | None]
"""How an attempt ends, given its state; `None` leaves it as it is."""


class LedgerReads:
    """What a ledger can be asked."""

    def __init__(self, store: Store, budgets: Iterable[Budget], clock: Callable[[], datetime], url: str) -> None:
        self._store = store
        self._clock = clock
        self._url = url
        self._counters = Counters(budgets, shared=store.shared)
        self._pending: dict[str, Decide] = {}
        self._closed = False

    @property
    def url(self) -> str:
        """What it was opened with, without a password."""
        return self._url

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The budgets that attempts of this process are held to."""
        return self._counters.budgets

    def attempt(self, attempt_id: str) -> Attempt | None:
        """One attempt, or `None`."""
        with self._reading() as db:
            row = db.one(f"{SELECT} WHERE id = ?", (attempt_id,))
        return None if row is None else attempt_of(row)

    def attempts(
        self,
        *,
        since: datetime | None = None,
        call_id: str | None = None,
        group_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> list[Attempt]:
        """Attempts in the order in which they started; with `limit`, the latest ones."""
        where: list[str] = []
        values: list[Value] = []
        if since is not None:
            where.append("started_at >= ?")
            values.append(micros(since))
        if call_id is not None:
            where.append("call_id = ?")
            values.append(call_id)
        if group_id is not None:  # in the words of the two indexes
            where.append("((call_id = ? AND group_id = call_id) OR (group_id = ? AND group_id <> call_id))")
            values += [group_id, group_id]
        for name, wanted in (tags or {}).items():
            where.append(f"{self._store.tag_sql} = ?")
            values += [name, wanted]
        sql = SELECT + (f" WHERE {' AND '.join(where)}" if where else "") + " ORDER BY started_at DESC, id DESC"
        if limit is not None:
            sql += " LIMIT ?"
            values.append(limit)
        with self._reading() as db:
            rows = db.all(sql, values)
        return [attempt_of(row) for row in reversed(rows)]

    def iter_attempts(self, *, since: datetime | None = None, until: datetime | None = None) -> Iterator[Attempt]:
        """Attempts in the order in which they started, a page at a time, for ledgers of any size.

        Each page is a read of its own: what is booked meanwhile may be among them.

        Args:
            since: From this moment on.
            until: Up to but without this moment.
        """
        return attempt_pages(self._reading, since, until)

    def spend(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        by: Sequence[str] = ("mode",),
        zone: str = "UTC",
    ) -> list[SpendRow]:
        """What attempts that started from `since` up to `until` cost, summed in the database.

        Args:
            since: From this moment on.
            until: Up to but without this moment.
            by: One row for each value of `mode`, `model`, `host`, `hour`, `day`, `month`, `purpose`, `status`,
                `certainty`, `call`, `group`, `finish_reason`, `error` or `tag:NAME`, and of each currency.
            zone: The time zone of hours, days and months.

        Raises:
            ConfigurationError: There is no such group or zone.
        """
        with self._reading() as db:
            return spend_rows(db, self._store.tag_sql, by, since, until, zone)

    def budget_status(self) -> list[BudgetStatus]:
        """Every budget in its window of this moment; those that count apart, once for each part with spend in it."""
        now = self._now()
        with self._reading() as db:
            return self._counters.statuses(db, now)

    def refusals(self, *, since: datetime | None = None, until: datetime | None = None) -> list[RefusalRow]:
        """How often budgets refused calls, in all processes that share the ledger, in the order in which it began.

        A call that two budgets refuse counts in both. A row that overlaps the period counts whole: it is of one window
        of its budget, and of one UTC day at most.

        Args:
            since: From this moment on.
            until: Up to but without this moment.
        """
        with self._reading() as db:
            return refusal_rows(db, since, until)

    def identities(self, *, host: str | None = None, model: str | None = None) -> list[ModelIdentity]:
        """The names and fingerprints that hosts have sent for each model, in the order in which they came up.

        Args:
            host: Only of this host.
            model: Only of this model, as it was asked for.
        """
        with self._reading() as db:
            return identity_rows(db, host, model)

    def completion_history(
        self, *, host: str, model: str, mode: Mode, limit: int = 200, purpose: str | None = None
    ) -> list[Usage]:
        """The latest usages that a provider reported exactly, the newest first."""
        sql = f"{SELECT_USAGE} WHERE {ON_RECORD} AND host = ? AND model = ? AND mode = ?"
        values: list[Value] = [host, model, mode]
        if purpose is not None:
            sql += " AND purpose = ?"
            values.append(purpose)
            if purpose != "answer":  # in the words of the index
                sql += f" AND {FURTHER}"
        with self._reading() as db:
            rows = db.all(f"{sql} ORDER BY started_at DESC LIMIT ?", (*values, limit))
        return [usage for row in rows if (usage := usage_of(row)) is not None]

    def __repr__(self) -> str:
        return f"<Ledger {self._url!r}, {len(self.budgets)} budgets>"

    def _reading(self) -> AbstractContextManager[Transaction]:
        self._flush()
        return self._store.read()

    def _now(self) -> int:
        return micros(self._clock())

    def _flush(self) -> None:
        """Books what could not be booked when it ended."""
        if self._closed:
            raise LedgerClosed("the ledger is closed; open it again with Ledger.open()")
        for attempt_id, decide in list(self._pending.items()):
            try:
                with self._store.write() as db:
                    self._book(db, attempt_id, decide)
            except LedgerUnavailable:
                return
            self._pending.pop(attempt_id, None)

    def _book(self, db: Transaction, attempt_id: str, decide: Decide) -> Attempt:
        raise UnknownReservation(f"the attempt {attempt_id!r} cannot be booked here")
