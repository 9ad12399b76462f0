"""Errors of endpoints, in every shape, as typed errors."""
