"""The router as users call it."""
