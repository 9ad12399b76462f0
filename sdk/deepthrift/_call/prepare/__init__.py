"""What a call will send: checked, counted, limited and built."""
