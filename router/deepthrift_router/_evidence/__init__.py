"""Samples, checks, validators and the sandbox."""
