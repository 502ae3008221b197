"""What became of an order, and what the account holds after it."""
