"""A local exchange that speaks the documented market interface of Binance: REST, streams and faults."""
