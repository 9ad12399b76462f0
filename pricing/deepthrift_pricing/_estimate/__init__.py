"""What a call will cost, before it's sent."""
