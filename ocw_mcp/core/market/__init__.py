"""Candles, indicators, derivatives readings and correlations of the traded symbols."""
