"""What the commands about models and machines share."""
