"""The bytes of an answer as events, and events as typed chunks."""
