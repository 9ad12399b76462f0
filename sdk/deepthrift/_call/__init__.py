"""One call, from the options to the reply."""
