"""The asynchronous client and its synchronous mirror."""
