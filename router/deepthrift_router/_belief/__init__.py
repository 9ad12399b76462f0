"""The chances that each mode is right, and how evidence moves them."""
