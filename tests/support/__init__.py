"""Helpers that several test folders share. Importing one starts nothing."""
