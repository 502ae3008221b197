"""A seeded market that needs no files, and behaves like the recorded ones that it was fitted to."""

from ocw_mcp.adapters.feeds.simulated.feed import SimulatedFeed

__all__ = ["SimulatedFeed"]
