"""What is sent: one request, checked and written as bytes."""
