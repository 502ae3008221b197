"""Feeds, venues, the store and the control files: all that touches the world."""
