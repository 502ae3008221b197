"""Recorded market data, read from files laid out like the exchange's public archive."""

from ocw_mcp.adapters.feeds.tape.feed import TapeFeed

__all__ = ["TapeFeed"]
