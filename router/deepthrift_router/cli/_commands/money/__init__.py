"""Commands about tokens, prices and spend."""
