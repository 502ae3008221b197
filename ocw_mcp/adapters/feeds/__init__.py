"""Market data feeds: simulated, recorded on tapes, and the public archive from which tapes are fetched."""
