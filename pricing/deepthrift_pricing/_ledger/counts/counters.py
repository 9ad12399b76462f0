"""The counts that budgets are held against, kept in the store beside the attempts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, cast

from deepthrift_pricing._ledger.counts.carries import CARRY, UNCHECKED, add_large, carried_ids, carry_full, is_large
from deepthrift_pricing._ledger.counts.group import Amounts, GroupTransaction, Key
from deepthrift_pricing._ledger.counts.refusal_counts import refused_since
from deepthrift_pricing._ledger.counts.sums import sum_sql, sums_of
from deepthrift_pricing._ledger.rows.records import SELECT, attempt_of, micros
from deepthrift_pricing._store.protocol import Transaction, Value
from deepthrift_pricing._values.attempt import Attempt
from deepthrift_pricing._values.budget import Budget, BudgetStatus, admits
from deepthrift_pricing._values.errors import CurrencyMismatch
from deepthrift_pricing._values.money import Money
from deepthrift_pricing._values.window import Span, moment

_COLUMNS: Final = "(budget, part, start, spent_pico, reserved_pico, unknown_pico)"
_ADD: Final = (
    "ON CONFLICT (budget, part, start) DO UPDATE SET "
    "spent_pico = budget_windows.spent_pico + excluded.spent_pico, "
    "reserved_pico = budget_windows.reserved_pico + excluded.reserved_pico, "
    "unknown_pico = budget_windows.unknown_pico + excluded.unknown_pico"
)
_ONE: Final = (
    "0, spent_pico, 0, reserved_pico, 0, unknown_pico FROM budget_windows WHERE budget = ? AND part = ? AND start = ?"
)
_SINCE: Final = (
    f"{sum_sql('spent_pico')}, {sum_sql('reserved_pico')}, {sum_sql('unknown_pico')} "
    "FROM budget_windows WHERE budget = ? AND part = ? AND start >= ?"
)


_AT_ONCE: Final = 50
"""Counts that one statement reads or changes at most."""
_NO_SPAN: Final = Span(0, 0)
_KINDS: Final = 1024
"""Kinds of attempts whose scopes are remembered."""


class Counts(NamedTuple):
    """Amounts in 10⁻¹² of the budget's currency."""

    spent: int = 0
    reserved: int = 0
    unknown: int = 0


def counts_of(attempt: Attempt) -> Counts:
    """What an attempt counts for in every budget that covers it."""
    booked = attempt.cost.total.pico
    if attempt.status == "reserved":
        return Counts(reserved=booked)
    return Counts(spent=booked, unknown=booked if attempt.status == "unknown" else 0)


class Counter:
    """One scope that the store counts, and the limits that this process holds it to."""

    __slots__ = ("carried", "id", "limits", "scope", "span", "unchecked")

    def __init__(self, id_: int, scope: Budget, limits: Sequence[Budget] = ()) -> None:
        self.id = id_
        self.scope = scope
        """What is counted; its limit means nothing."""
        self.limits = limits
        self.span = _NO_SPAN
        self.carried = False
        """Whether some of its counts have carries."""
        self.unchecked = UNCHECKED
        """What was added since this process last looked whether a count is full."""

    def span_at(self, at: int) -> Span:
        """The window around `at`; the last one is remembered, for most moments fall into it."""
        span = self.span
        if not (span.start <= at and (span.end is None or at < span.end)):
            span = self.span = self.scope.span(at)
        return span

    def status(self, budget: Budget, part: str, counts: Counts, at: int, refused: int = 0) -> BudgetStatus:
        """The state of `budget` as a user sees it."""
        currency = budget.currency
        per = budget.per
        end: int | None
        if self.scope.rolls:
            start, end = self.scope.counted_from(at), at
        else:
            start, end = self.span_at(at)
        endless = isinstance(per, str) and per in ("call", "answer", "total")
        return BudgetStatus(
            budget=budget,
            part=part,
            spent=Money(counts.spent, currency),
            reserved=Money(counts.reserved, currency),
            unknown=Money(counts.unknown, currency),
            refused=refused,
            window_start=None if endless else moment(start),
            window_end=None if end is None else moment(end),
        )


class Refusal(NamedTuple):
    """A budget without room."""

    status: BudgetStatus
    can_come_free: bool
    """Whether the attempt would fit if every attempt under way turned out to cost nothing."""
    counter: int


class _Kind(NamedTuple):
    """The scopes of all attempts that agree in currency, host, model, mode and tags."""

    covering: tuple[Counter, ...]
    foreign: Counter | None
    """One with a limit in the other currency."""


class NewScopes(Exception):
    """Another process has added a scope: `refresh`, and look anew at what covers the attempt."""


class Counters:
    """Every scope that the store counts. All processes count all of them; each holds its own limits."""

    def __init__(self, budgets: Iterable[Budget], *, shared: bool) -> None:
        self._own = tuple(budgets)
        self._shared = shared
        self.version = -1
        """Of the scopes that are known here."""
        self._all: tuple[Counter, ...] = ()
        self._kinds: dict[tuple[str, str, str, str, tuple[tuple[str, str], ...]], _Kind] = {}

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The limits that this process holds its attempts to."""
        return self._own

    def register(self, db: Transaction, at: int) -> None:
        """Begins to count the scopes of this process's budgets."""
        for budget in self._own:
            self.ensure(db, budget, at)
        self.refresh(db)

    def ensure(self, db: Transaction, budget: Budget, at: int) -> int:
        """The id of the count for the scope of `budget`; if it is new, what was booked before counts too."""
        row = db.one("SELECT id FROM budgets WHERE scope = ?", (budget.scope,))
        if row is not None:
            return int(cast("int", row[0]))
        top = db.one("SELECT COALESCE(MAX(id), 0) + 1 FROM budgets")
        id_ = int(cast("int", top[0])) if top is not None else 1
        db.run("INSERT INTO budgets (id, scope) VALUES (?, ?)", (id_, budget.scope))
        db.run("UPDATE ledger SET value = value + 1 WHERE name = 'budgets_version'")
        self._backfill(db, budget, id_, at)
        return id_

    def refresh(self, db: Transaction) -> None:
        """Learns of scopes that other processes have added."""
        version = _version(db)
        if version == self.version:
            return
        known = {counter.id: counter for counter in self._all}
        found: list[Counter] = []
        for id_, scope in db.all("SELECT id, scope FROM budgets ORDER BY id"):
            number = int(cast("int", id_))
            limits = [budget for budget in self._own if budget.scope == scope]
            found.append(known.get(number) or Counter(number, Budget.of_scope(cast("str", scope)), limits))
        self._all = tuple(found)
        self._look_for_carries(db)
        self._kinds = {}  # a new one, after `_all`: another thread may be filling the old one from the old scopes
        self.version = version

    def covering(self, attempt: Attempt) -> list[tuple[Counter, str]]:
        """The counts that an attempt belongs to, each with its part."""
        call, group, tags = attempt.call_id, attempt.group_id, attempt.tags
        return [(counter, counter.scope.part(call, group, tags)) for counter in self._kind_of(attempt).covering]

    def check_currency(self, attempt: Attempt) -> None:
        """Refuses an attempt that a limit covers in the other currency.

        Raises:
            CurrencyMismatch: No rate is given, so the limit could not be held.
        """
        foreign = self._kind_of(attempt).foreign
        if foreign is not None:
            currency = attempt.reserved.currency
            raise CurrencyMismatch(
                f"the budget {foreign.limits[0].label!r} is in {foreign.scope.currency} and the call is priced in "
                f"{currency}; price the call in {foreign.scope.currency}, or give a budget in {currency}"
            )

    def _kind_of(self, attempt: Attempt) -> _Kind:
        """The scopes of an attempt; most attempts of a program are of a few kinds, so they are remembered."""
        currency = attempt.reserved.currency
        key = (currency, attempt.host, attempt.model, attempt.mode, tuple(attempt.tags.items()))
        kinds = self._kinds
        kind = kinds.get(key)
        if kind is None:
            inside = [
                each for each in self._all if each.scope.covers(attempt.host, attempt.model, attempt.mode, attempt.tags)
            ]
            kind = _Kind(
                tuple(each for each in inside if each.scope.currency == currency),
                next((each for each in inside if each.scope.currency != currency and each.limits), None),
            )
            if len(kinds) >= _KINDS:
                kinds.clear()
            kinds[key] = kind
        return kind

    def refusals(
        self, db: Transaction, covering: Sequence[tuple[Counter, str]], worst: int, at: int
    ) -> tuple[list[Refusal], list[BudgetStatus]]:
        """The limits that `worst` does not fit: those that refuse it, and those that only warn.

        Raises:
            NewScopes: There are scopes that are not known here yet.
        """
        refused: list[Refusal] = []
        warned: list[BudgetStatus] = []
        limited = [(counter, part) for counter, part in covering if counter.limits]
        known = self.version if self._shared else None
        if not limited and known not in (None, _version(db)):
            raise NewScopes
        for (counter, part), counts in zip(limited, read_counts(db, limited, at, known), strict=True):
            for budget in counter.limits:
                if admits(budget.limit.pico, counts.spent, counts.reserved, worst):
                    continue
                status = counter.status(budget, part, counts, at)
                if budget.policy == "warn":
                    warned.append(status)
                else:
                    # A request that can be made smaller finds room as soon as any comes free.
                    least = 1 if budget.policy in ("clamp", "downgrade") else worst
                    free = counts.reserved > 0 and admits(budget.limit.pico, counts.spent, 0, least)
                    refused.append(Refusal(status, free, counter.id))
        return refused, warned

    def move(self, db: Transaction, attempt: Attempt, before: Counts, after: Counts) -> None:
        """Replaces what an attempt counted for, in the windows that it was reserved in."""
        change = Counts(after.spent - before.spent, after.reserved - before.reserved, after.unknown - before.unknown)
        if any(change):
            add_counts(db, self.covering(attempt), micros(attempt.started_at), change)

    @property
    def all(self) -> tuple[Counter, ...]:
        """Every scope that is known here."""
        return self._all

    def statuses(self, db: Transaction, at: int) -> list[BudgetStatus]:
        """Every limit in its window of the moment `at`."""
        self._look_for_carries(db)
        found: list[BudgetStatus] = []
        for counter in self._all:
            for budget in counter.limits:
                parts = [""]
                if budget.per in ("call", "answer"):
                    query = "SELECT part FROM budget_windows WHERE budget = ? AND reserved_pico <> 0 ORDER BY part"
                    parts = [cast("str", row[0]) for row in db.all(query, (counter.id,))]
                elif budget.each:
                    query = "SELECT DISTINCT part FROM budget_windows WHERE budget = ? AND start >= ? ORDER BY part"
                    since = counter.scope.counted_from(at)
                    parts = [cast("str", row[0]) for row in db.all(query, (counter.id, since))]
                alone = budget.per in ("call", "answer")  # their refusals are not kept apart
                refused = {} if alone else refused_since(db, counter.id, budget, at)
                apart = [(counter, part) for part in sorted({*parts, *refused}) or [""]]
                for (_, part), counts in zip(apart, read_counts(db, apart, at), strict=True):
                    found.append(counter.status(budget, part, counts, at, refused.get(part, 0)))
        return found

    def _look_for_carries(self, db: Transaction) -> None:
        carried = carried_ids(db)
        for counter in self._all:
            counter.carried = counter.id in carried

    @staticmethod
    def _backfill(db: Transaction, budget: Budget, id_: int, at: int) -> None:
        """Counts what was booked before the scope was known."""
        counter = Counter(id_, Budget.of_scope(budget.scope))
        since = 0 if budget.per in ("total", "call", "answer") else counter.scope.counted_from(at)
        totals: dict[tuple[str, int], Counts] = {}
        for row in db.all(f"{SELECT} WHERE started_at >= ? OR status = 'reserved'", (since,)):
            attempt = attempt_of(row)
            if attempt.reserved.currency != budget.currency or not counter.scope.covers(
                attempt.host, attempt.model, attempt.mode, attempt.tags
            ):
                continue
            part = counter.scope.part(attempt.call_id, attempt.group_id, attempt.tags)
            key = (part, counter.span_at(micros(attempt.started_at)).start)
            sums = zip(totals.get(key, Counts()), counts_of(attempt), strict=True)
            totals[key] = Counts(*(one + other for one, other in sums))
        for (part, start), counts in totals.items():
            add_large(db, id_, part, start, counts)


def read_counts(
    db: Transaction, counters: Sequence[tuple[Counter, str]], at: int, known: int | None = None
) -> list[Counts]:
    """What each of these counts at the moment `at`.

    Raises:
        NewScopes: The version of the scopes is not `known`. It comes with the counts, for each statement costs a
            journey where the database is far away.
    """
    found = _read(db, counters, at, known)
    carried = [place for place, (counter, _) in enumerate(counters) if counter.carried]
    if carried:
        more = _read(db, [counters[place] for place in carried], at, sign=-1)
        for place, high in zip(carried, more, strict=True):
            sums = zip(found[place], high, strict=True)
            found[place] = Counts(*(low + above * CARRY for low, above in sums))
    return found


def _read(
    db: Transaction, counters: Sequence[tuple[Counter, str]], at: int, known: int | None = None, sign: int = 1
) -> list[Counts]:
    """The rows under the ids of the scopes, or with `sign=-1` their carries."""
    found = [Counts()] * len(counters)
    group = db if isinstance(db, GroupTransaction) else None
    if group is not None and known is not None and group.version is not None:
        if group.version != known:
            raise NewScopes
        known = None
    places: list[int] = []
    keys: list[Key] = []
    for place, (counter, part) in enumerate(counters):
        start = counter.scope.counted_from(at) if counter.scope.rolls else counter.span_at(at).start
        key = (sign * counter.id, part, start)
        if group is not None and not counter.scope.rolls and (amounts := group.row(key)) is not None:
            found[place] = Counts(*amounts)
        else:
            places.append(place)
            keys.append(key)
    for first in range(0, len(keys), _AT_ONCE):
        some = places[first : first + _AT_ONCE]
        values: list[Value] = [value for key in keys[first : first + _AT_ONCE] for value in key]
        sql = _read_sql(tuple(counters[place][0].scope.rolls for place in some), known is not None)
        for index, *sums in db.all(sql, values):
            if index == -1:
                if sums[1] != known:
                    raise NewScopes
            else:
                found[some[int(cast("int", index))]] = Counts(*sums_of(sums))
    if group is not None and keys:
        group.version = known if group.version is None else group.version
        for place, key in zip(places, keys, strict=True):
            if not counters[place][0].scope.rolls:
                group.learn(key, found[place])
    return found


def add_counts(db: Transaction, counters: Sequence[tuple[Counter, str]], at: int, change: Counts) -> None:
    """Books a change in the window around `at` of each of these."""
    size = sum(map(abs, change))
    for counter, _ in counters:
        counter.unchecked += size
        if counter.unchecked > UNCHECKED:
            counter.unchecked = size
            counter.carried = carry_full(db, counter.id) or counter.carried
    if is_large(change):
        for counter, part in counters:
            add_large(db, counter.id, part, counter.span_at(at).start, change)
            counter.carried = True
        return
    rows = [((counter.id, part, counter.span_at(at).start), change) for counter, part in counters]
    if isinstance(db, GroupTransaction):
        for key, amounts in rows:
            db.add(key, amounts)
        return
    for first in range(0, len(rows), _AT_ONCE):
        write_counts(db, rows[first : first + _AT_ONCE])


def write_counts(db: Transaction, rows: Sequence[tuple[Key, Amounts]]) -> None:
    """Adds to some rows of counts in one statement."""
    db.run(_add_sql(len(rows)), [value for key, amounts in rows for value in (*key, *amounts)])


def _version(db: Transaction) -> int:
    row = db.one("SELECT value FROM ledger WHERE name = 'budgets_version'")
    return 0 if row is None else int(cast("int", row[0]))


@lru_cache(maxsize=256)
def _read_sql(rolls: tuple[bool, ...], versioned: bool) -> str:
    """One statement for several counts, and for the version of the scopes in the place -1."""
    parts = [f"SELECT {place}, {_SINCE if each else _ONE}" for place, each in enumerate(rolls)]
    if versioned:
        parts.append("SELECT -1, 0, value, 0, 0, 0, 0 FROM ledger WHERE name = 'budgets_version'")
    return " UNION ALL ".join(parts)


@lru_cache(maxsize=256)
def _add_sql(rows: int) -> str:
    return f"INSERT INTO budget_windows {_COLUMNS} VALUES {', '.join(['(?, ?, ?, ?, ?, ?)'] * rows)} {_ADD}"  # noqa: S608  # constant text
