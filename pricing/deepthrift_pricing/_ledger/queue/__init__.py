"""The ledger's work off the event loop: a queue, its thread, and reads."""
