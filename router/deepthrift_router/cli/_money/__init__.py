"""What the commands about money share."""
