"""The tables of a ledger. They are a public interface: `docs/ledger-schema.md` describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

VERSION: Final = 3
APPLICATION_ID: Final = 0x44545246  # "DTRF"

ON_RECORD: Final = "status = 'settled' AND usage_certainty = 'exact'"
"""Attempts whose usage tells what to expect of others."""
FURTHER: Final = "purpose <> 'answer'"
"""Attempts beside the answers, which are few."""

TABLES: Final = (
    """
    CREATE TABLE attempts (
        id TEXT NOT NULL PRIMARY KEY,
        call_id TEXT NOT NULL,
        group_id TEXT NOT NULL,
        purpose TEXT NOT NULL,
        host TEXT NOT NULL,
        model TEXT NOT NULL,
        mode TEXT NOT NULL,
        status TEXT NOT NULL,
        started_at BIGINT NOT NULL,
        lease_until BIGINT NOT NULL,
        ended_at BIGINT,
        currency TEXT NOT NULL,
        reserved_pico BIGINT NOT NULL,
        booked_pico BIGINT NOT NULL,
        cache_hit_pico BIGINT NOT NULL,
        cache_miss_pico BIGINT NOT NULL,
        completion_pico BIGINT NOT NULL,
        reasoning_pico BIGINT NOT NULL,
        certainty TEXT NOT NULL,
        prompt_bound BIGINT NOT NULL,
        max_tokens BIGINT NOT NULL,
        prompt_tokens BIGINT,
        cache_hit_tokens BIGINT,
        completion_tokens BIGINT,
        reasoning_tokens BIGINT,
        usage_certainty TEXT,
        usage_notes TEXT,
        price_ids TEXT NOT NULL,
        tags TEXT NOT NULL,
        finish_reason TEXT,
        http_status BIGINT,
        error TEXT
    )""",
    "CREATE INDEX attempts_by_call ON attempts (call_id)",
    "CREATE INDEX attempts_by_group ON attempts (group_id) WHERE group_id <> call_id",
    "CREATE INDEX attempts_by_start ON attempts (started_at)",
    f"CREATE INDEX attempts_on_record ON attempts (host, model, mode, started_at) WHERE {ON_RECORD}",
    "CREATE INDEX attempts_further ON attempts (purpose, host, model, mode, started_at) "
    f"WHERE {ON_RECORD} AND {FURTHER}",
    "CREATE INDEX attempts_under_way ON attempts (lease_until) WHERE status = 'reserved'",
    """
    CREATE TABLE budgets (
        id BIGINT NOT NULL PRIMARY KEY,
        scope TEXT NOT NULL UNIQUE
    )""",
    """
    CREATE TABLE budget_windows (
        budget BIGINT NOT NULL,
        part TEXT NOT NULL,
        start BIGINT NOT NULL,
        spent_pico BIGINT NOT NULL,
        reserved_pico BIGINT NOT NULL,
        unknown_pico BIGINT NOT NULL,
        PRIMARY KEY (budget, part, start)
    )""",
    """
    CREATE TABLE alerts (
        key TEXT NOT NULL,
        sink TEXT NOT NULL,
        claimed_at BIGINT NOT NULL,
        tries BIGINT NOT NULL,
        delivered_at BIGINT,
        PRIMARY KEY (key, sink)
    )""",
    "CREATE TABLE ledger (name TEXT NOT NULL PRIMARY KEY, value BIGINT NOT NULL)",
    "INSERT INTO ledger (name, value) VALUES ('budgets_version', 0)",
)
"""Version 1, in words that SQLite and PostgreSQL both understand. Amounts are in 10⁻¹² of the currency, moments in
microseconds since 1970-01-01 UTC; `tags`, `price_ids`, `usage_notes` and `requests` are JSON."""

MIGRATIONS: Final[Mapping[int, tuple[str, ...]]] = {
    2: (
        "ALTER TABLE attempts ADD COLUMN service_tier TEXT",
        "ALTER TABLE attempts ADD COLUMN requests TEXT",
        "ALTER TABLE attempts ADD COLUMN requests_pico BIGINT",
        "ALTER TABLE attempts ADD COLUMN answered_model TEXT",
        "ALTER TABLE attempts ADD COLUMN fingerprint TEXT",
        """
        CREATE TABLE identities (
            host TEXT NOT NULL,
            model TEXT NOT NULL,
            mode TEXT NOT NULL,
            answered_model TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            first_at BIGINT NOT NULL,
            replaced_model TEXT,
            replaced_fingerprint TEXT,
            PRIMARY KEY (host, model, mode, answered_model, fingerprint)
        )""",
        """
        CREATE TABLE refusals (
            budget BIGINT NOT NULL,
            limit_pico BIGINT NOT NULL,
            part TEXT NOT NULL,
            start BIGINT NOT NULL,
            host TEXT NOT NULL,
            model TEXT NOT NULL,
            mode TEXT NOT NULL,
            name TEXT NOT NULL,
            refused BIGINT NOT NULL,
            needed_pico BIGINT NOT NULL,
            first_at BIGINT NOT NULL,
            last_at BIGINT NOT NULL,
            PRIMARY KEY (budget, limit_pico, part, start, host, model, mode)
        )""",
    ),
    3: ("ALTER TABLE attempts ADD COLUMN effort TEXT",),
}
"""The statements that lead to each version from the one before. Columns are only added, and may be null, so that
processes of an older version can go on using a ledger that they have open."""


def statements_since(version: int) -> tuple[str, ...]:
    """What brings a ledger of `version` to `VERSION`; 0 is an empty one."""
    steps: tuple[str, ...] = TABLES if version == 0 else ()
    for later in range(max(version, 1) + 1, VERSION + 1):
        steps += MIGRATIONS[later]
    return steps
