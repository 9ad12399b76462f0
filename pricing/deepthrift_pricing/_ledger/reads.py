"""The reading side of the ledger: attempts, spend, budgets, and the lengths of earlier answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from deepthrift_pricing._ledger.counts.counters import Counters
from deepthrift_pricing._ledger.counts.refusal_counts import RefusalRow, refusal_rows
from deepthrift_pricing._ledger.queue.booking_queue import BookingQueue
from deepthrift_pricing._ledger.queue.reading import Reading
from deepthrift_pricing._ledger.rows.identities import ModelIdentity, identity_rows
from deepthrift_pricing._ledger.rows.pages import attempt_pages
from deepthrift_pricing._ledger.rows.records import SELECT, SELECT_USAGE, attempt_of, usage_of
from deepthrift_pricing._ledger.spend import SpendRow, spend_rows
from deepthrift_pricing._store.protocol import Store, Value
from deepthrift_pricing._store.schema import FURTHER, ON_RECORD
from deepthrift_pricing._values.attempt import Attempt
from deepthrift_pricing._values.budget import Budget, BudgetStatus
from deepthrift_pricing._values.usage import Mode, Usage
from deepthrift_pricing._values.window import micros

T = TypeVar("T")


class LedgerReads:
    """What a ledger can be asked."""

    def __init__(self, store: Store, budgets: Iterable[Budget], clock: Callable[[], datetime], url: str) -> None:
        self._store = store
        self._clock = clock
        self._url = url
        self._counters = Counters(budgets, shared=store.shared)
        self._writing = BookingQueue(store)
        self._reader = Reading(self._writing, store)

    @property
    def url(self) -> str:
        """What it was opened with, without a password."""
        return self._url

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The budgets that attempts of this process are held to."""
        return self._counters.budgets

    @property
    def lock_seconds(self) -> float:
        """How long a write waits for other processes at most, in seconds."""
        return self._store.lock_seconds

    def attempt(self, attempt_id: str) -> Attempt | None:
        """One attempt, or `None`."""
        row = self._reader.run(lambda db: db.one(f"{SELECT} WHERE id = ?", (attempt_id,)))
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
        rows = self._reader.run(lambda db: db.all(sql, values))
        return [attempt_of(row) for row in reversed(rows)]

    def iter_attempts(self, *, since: datetime | None = None, until: datetime | None = None) -> Iterator[Attempt]:
        """Attempts in the order in which they started, a page at a time, for ledgers of any size.

        Each page is a read of its own: what is booked meanwhile may be among them.

        Args:
            since: From this moment on.
            until: Up to but without this moment.
        """
        return attempt_pages(self._reader.run, since, until)

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
        return self._reader.run(lambda db: spend_rows(db, self._store.tag_sql, by, since, until, zone))

    def budget_status(self) -> list[BudgetStatus]:
        """Every budget in its window of this moment; those that count apart, once for each part with spend in it."""
        now = self._now()
        return self._reader.run(lambda db: self._counters.statuses(db, now))

    def refusals(self, *, since: datetime | None = None, until: datetime | None = None) -> list[RefusalRow]:
        """How often budgets refused calls, in all processes that share the ledger, in the order in which it began.

        A call that two budgets refuse counts in both. A row that overlaps the period counts whole: it is of one window
        of its budget, and of one UTC day at most.

        Args:
            since: From this moment on.
            until: Up to but without this moment.
        """
        return self._reader.run(lambda db: refusal_rows(db, since, until))

    def identities(self, *, host: str | None = None, model: str | None = None) -> list[ModelIdentity]:
        """The names and fingerprints that hosts have sent for each model, in the order in which they came up.

        Args:
            host: Only of this host.
            model: Only of this model, as it was asked for.
        """
        return self._reader.run(lambda db: identity_rows(db, host, model))

    def completion_history(
        self,
        *,
        host: str,
        model: str,
        mode: Mode,
        limit: int = 200,
        purpose: str | None = None,
        effort: str | None = None,
    ) -> list[Usage]:
        """The latest usages that a provider reported exactly, the newest first, without what is still in the queue.

        In an event loop it doesn't wait for a store in PostgreSQL that takes longer than 30 ms: then it's what the
        last look found.

        Args:
            host: The host profile's name.
            model: The model's name there.
            mode: The mode that was asked for.
            limit: The most usages.
            purpose: Only attempts of this purpose.
            effort: Only attempts of this effort; `None`: those that named none, for lengths differ by effort.
        """
        sql = f"{SELECT_USAGE} WHERE {ON_RECORD} AND host = ? AND model = ? AND mode = ?"
        values: list[Value] = [host, model, mode]
        if purpose is not None:
            sql += " AND purpose = ?"
            values.append(purpose)
            if purpose != "answer":  # in the words of the index
                sql += f" AND {FURTHER}"
        sql += " AND effort IS NULL" if effort is None else " AND effort = ?"
        values += () if effort is None else (effort,)
        sql += " ORDER BY started_at DESC LIMIT ?"
        values.append(limit)
        rows = self._reader.glance((sql, *values), lambda db: db.all(sql, values))
        return [usage for row in rows if (usage := usage_of(row)) is not None]

    async def in_thread(self, work: Callable[[], T], *, timeout: float | None = None) -> T:  # noqa: ASYNC109
        """Runs `work`, which may use all of this ledger, in the ledger's reading thread.

            rows = await ledger.in_thread(lambda: ledger.spend(by=["day"]))

        Methods without `await` block the thread that calls them: at times until another process has let go of the
        store. In an event loop, call them like this.

        Args:
            work: What to run.
            timeout: Seconds after which it's given up; `None` waits for it.

        Raises:
            LedgerUnavailable: `timeout` is over.
        """
        return await self._reader.in_thread(work, timeout)

    def __repr__(self) -> str:
        return f"<Ledger {self._url!r}, {len(self.budgets)} budgets>"

    def _now(self) -> int:
        return micros(self._clock())
