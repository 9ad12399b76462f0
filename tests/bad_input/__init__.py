"""What a user gets wrong: each mistake gives a clear, typed error before anything is sent or lost."""
