"""The Binance venue: orders and the account on USD-M futures."""
