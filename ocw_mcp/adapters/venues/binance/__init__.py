"""The account at Binance as a venue: orders and their reports, on futures and on spot."""
