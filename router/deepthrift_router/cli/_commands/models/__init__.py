"""Commands about local models and this machine."""
