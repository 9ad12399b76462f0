"""What an attempt passes before it's sent: circuit breaker, limits, deadlines and idle time-outs."""
