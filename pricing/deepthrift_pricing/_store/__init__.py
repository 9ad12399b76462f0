"""Where a ledger is kept: SQLite, PostgreSQL or memory."""
