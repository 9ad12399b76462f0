"""Where calls go: the endpoints of a client."""
