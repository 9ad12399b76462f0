"""The engine's own process: start, health, crashes, end."""
