"""What a user counts on: one behaviour a file, tried through the public API against a server with the true bill."""
