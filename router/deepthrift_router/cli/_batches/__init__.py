"""What `deepthrift batch` does."""
