"""What the commands that get answers share."""
