"""What a user does with gdmethods."""
