"""One routed answer, from the plan to the reply."""
