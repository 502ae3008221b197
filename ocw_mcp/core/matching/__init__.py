"""What an exchange would have done with an order, given only candles."""
