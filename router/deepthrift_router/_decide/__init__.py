"""Utilities, tiers and plans."""
