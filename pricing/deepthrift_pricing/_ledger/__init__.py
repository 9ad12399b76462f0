"""The ledger: bookings, counters of budgets, spend."""
