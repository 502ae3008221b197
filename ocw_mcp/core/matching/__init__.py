"""Models of an exchange's matching and funding, given only candles."""
