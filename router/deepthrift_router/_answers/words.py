"""Word lists, written as text."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of `text`."""
    return frozenset(text.split())


def numbered(text: str) -> dict[str, int]:
    """The words of `text` with their places, from 0."""
    return {word: place for place, word in enumerate(text.split())}
