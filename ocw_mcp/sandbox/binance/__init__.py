"""A local exchange that speaks the documented interface of Binance: REST, streams, an account and faults."""
