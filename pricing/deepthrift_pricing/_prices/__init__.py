"""Prices: rows, books, sources and machines of one's own."""
