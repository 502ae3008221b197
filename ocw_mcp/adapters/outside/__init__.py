"""Sources outside of the exchange: economic series, sentiment, supply, flows and headlines; each is off by default."""
