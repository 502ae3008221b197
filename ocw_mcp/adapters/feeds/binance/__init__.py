"""The live market of Binance: its feed, and the parts that the feed consists of."""
