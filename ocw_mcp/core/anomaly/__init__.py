"""How unusual the market is now: the distance of the last candle's features from those of the candles before."""
