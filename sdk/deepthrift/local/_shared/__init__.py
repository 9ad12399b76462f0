"""One engine that several processes share."""
