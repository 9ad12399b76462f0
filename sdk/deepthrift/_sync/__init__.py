"""Asynchronous code for callers without `await`."""
