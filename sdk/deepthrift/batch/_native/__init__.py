"""Batches that a host runs itself."""
