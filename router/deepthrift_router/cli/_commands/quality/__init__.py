"""Commands that measure and tune the router."""
