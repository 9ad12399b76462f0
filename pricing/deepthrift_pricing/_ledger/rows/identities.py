"""What answers behind a model's name: which names and fingerprints a host has sent, and when a new one came up."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple, cast

from pydantic import BaseModel, ConfigDict

from deepthrift_pricing._store.protocol import Row, Transaction, Value
from deepthrift_pricing._values.attempt import UNKNOWN_IDENTITY, Attempt, AttemptRequest, Identity
from deepthrift_pricing._values.window import micros, moment

_MOST: Final = 8
"""Names, or fingerprints of one name, from which on a further one is no news: the host sends many."""
_LENGTH: Final = 200
_COLUMNS: Final = "host, model, mode, answered_model, fingerprint, first_at, replaced_model, replaced_fingerprint"
_SELECT: Final = f"SELECT {_COLUMNS} FROM identities"  # noqa: S608  # constant text
_INSERT: Final = f"INSERT INTO identities ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S608  # constant text
_KINDS: Final = 1024

_Kind = tuple[str, str, str]
"""Host, model and mode of an attempt."""


class ModelIdentity(BaseModel):
    """A name, or a fingerprint of it, under which a host has answered for a model."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    host: str
    model: str
    """The model that was asked for."""
    mode: str
    answered_model: str | None
    fingerprint: str | None
    first_at: datetime
    """When it first answered."""
    replaced_model: str | None = None
    """The name that answered before, where this one is another."""
    replaced_fingerprint: str | None = None
    """The fingerprint of before, where this one is another."""

    @property
    def changed(self) -> bool:
        """Whether something else answered before."""
        return self.replaced_model is not None or self.replaced_fingerprint is not None

    @property
    def news(self) -> str:
        """In words, what has changed; empty where nothing has."""
        if self.replaced_model is not None:
            return (
                f"{self.host} answers for {self.model!r} as {self.answered_model!r} and no longer as "
                f"{self.replaced_model!r}"
            )
        if self.replaced_fingerprint is not None:
            return (
                f"{self.host} answers for {self.model!r} with the fingerprint {self.fingerprint!r}, which is new; the "
                f"last new one was {self.replaced_fingerprint!r}"
            )
        return ""


class Change(NamedTuple):
    """What was there before something new; either may be `None`."""

    model: str | None
    fingerprint: str | None


def clean(text: object) -> str | None:
    """A name from a response as every store can hold it, or `None`."""
    if not isinstance(text, str):
        return None
    kept = text[:_LENGTH].encode("utf-8", "replace").decode().replace("\0", "").strip()
    return kept or None


def normal(name: str) -> str:
    """A name without what hosts write now in one way and now in another: case, and the path in front of it."""
    return name.casefold().rstrip("/").rpartition("/")[2]


def is_new(known: Iterable[Identity], found: Identity) -> bool:
    """Whether `found` is to be kept beside the `known` ones."""
    return _key(found) not in {_key(each) for each in known}


def change_of(known: Iterable[Identity], found: Identity) -> Change | None:
    """What `found` takes the place of, if it shows that another model, or another version, answers than before.

    A name that the host has used before is none, nor is a fingerprint: some hosts serve two versions at once. A host
    that sends ever new ones tells nothing by them. `known` is in the order in which they came up.
    """
    known = [*known]
    names = {normal(each.model): each.model for each in known if each.model}
    name = normal(found.model) if found.model else None
    if name is not None and names and name not in names:
        if len(names) >= _MOST:
            return None
        before = next(each for each in reversed(known) if each.model)
        return Change(before.model, before.fingerprint if found.fingerprint != before.fingerprint else None)
    seen = {each.fingerprint for each in known}
    same = [each for each in known if each.fingerprint and (normal(each.model) if each.model else None) == name]
    if found.fingerprint and found.fingerprint not in seen and same and len(same) < _MOST:
        return Change(None, same[-1].fingerprint)
    return None


class Identities:
    """What this process knows of the names behind the names; loaded with the first reservation of each kind."""

    def __init__(self) -> None:
        self._known: dict[_Kind, tuple[Identity, ...]] = {}
        self._heard: set[tuple[_Kind, str | None, str | None]] = set()
        self.additions = 0
        """How many identities this process has added to the store."""

    def load(self, db: Transaction, request: AttemptRequest) -> None:
        """Reads what the store knows of the request's kind, unless it is known here."""
        kind = (request.host, request.model, request.mode)
        if kind not in self._known:
            self._read(db, kind)

    def news(self, attempt: Attempt, found: Identity) -> str | None:
        """In words, what has changed, if `found` is the first of its kind that this process sees. Nothing is read."""
        kind = (attempt.host, attempt.model, attempt.mode)
        known = self._known.get(kind)
        if not known or found == UNKNOWN_IDENTITY:
            return None
        change = change_of(known, found)
        mark = (kind, *_key(found))
        if change is None or mark in self._heard:
            return None
        self._heard.add(mark)
        return _described(kind, found, attempt.started_at, change).news

    def note(self, db: Transaction, attempt: Attempt) -> None:
        """Keeps what has answered, if the store does not know it yet."""
        found = Identity(attempt.answered_model, attempt.fingerprint)
        if found == UNKNOWN_IDENTITY:
            return
        kind = (attempt.host, attempt.model, attempt.mode)
        known = self._known.get(kind, ())
        if len(known) >= _MOST * _MOST or not is_new(known, found):
            return
        known = self._read(db, kind)  # another process may have seen it
        if not is_new(known, found):
            return
        change = change_of(known, found) or Change(None, None)
        at = micros(attempt.ended_at or attempt.started_at)
        db.run(_INSERT, (*kind, found.model or "", found.fingerprint or "", at, *change))

    def learn(self, attempt: Attempt) -> None:
        """Remembers what has answered, once the store has it."""
        found = Identity(attempt.answered_model, attempt.fingerprint)
        kind = (attempt.host, attempt.model, attempt.mode)
        known = self._known.get(kind)
        if found != UNKNOWN_IDENTITY and known is not None and is_new(known, found):
            self._known[kind] = (*known, found)
            self.additions += 1

    def _read(self, db: Transaction, kind: _Kind) -> tuple[Identity, ...]:
        rows = db.all(_SELECT + " WHERE host = ? AND model = ? AND mode = ? ORDER BY first_at", kind)
        if len(self._known) >= _KINDS:
            self._known.clear()
            self._heard.clear()
        known = tuple(Identity(row.answered_model, row.fingerprint) for row in map(_row, rows))
        self._known[kind] = known
        return known


def identity_rows(db: Transaction, host: str | None, model: str | None) -> list[ModelIdentity]:
    """What has answered, in the order in which it came up."""
    where = [f"{name} = ?" for name, value in (("host", host), ("model", model)) if value is not None]
    values: list[Value] = [value for value in (host, model) if value is not None]
    sql = _SELECT + (f" WHERE {' AND '.join(where)}" if where else "")
    return [_row(row) for row in db.all(f"{sql} ORDER BY first_at, host, model, mode", values)]


def _key(identity: Identity) -> tuple[str | None, str | None]:
    return normal(identity.model) if identity.model else None, identity.fingerprint


def _described(kind: _Kind, found: Identity, at: datetime, change: Change) -> ModelIdentity:
    host, model, mode = kind
    return ModelIdentity(
        host=host,
        model=model,
        mode=mode,
        answered_model=found.model,
        fingerprint=found.fingerprint,
        first_at=at,
        replaced_model=change.model,
        replaced_fingerprint=change.fingerprint,
    )


def _row(row: Row) -> ModelIdentity:
    host, model, mode, name, fingerprint, first_at, replaced_model, replaced_fingerprint = cast(
        "tuple[str, str, str, str, str, int, str | None, str | None]", row
    )
    found = Identity(name or None, fingerprint or None)
    return _described((host, model, mode), found, moment(first_at), Change(replaced_model, replaced_fingerprint))
