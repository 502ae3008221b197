"""A seeded market that needs no files, and behaves like the recorded markets to which it was fitted."""

from ocw_mcp.adapters.feeds.simulated.feed import SimulatedFeed

__all__ = ["SimulatedFeed"]
