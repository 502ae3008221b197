"""Candles and their indicators."""
