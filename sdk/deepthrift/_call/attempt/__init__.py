"""One attempt: reserved, sent, read and booked."""
