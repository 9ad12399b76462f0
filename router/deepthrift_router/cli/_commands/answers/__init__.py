"""Commands that get answers."""
