"""The protocol without any I/O: what is sent, and what may come back."""
