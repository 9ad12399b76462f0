"""Rows of the ledger's tables as objects."""
