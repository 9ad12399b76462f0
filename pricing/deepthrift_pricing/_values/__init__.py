"""Values: money, usage, cost, attempt, budget, window."""
