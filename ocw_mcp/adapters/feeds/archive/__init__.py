"""The exchange's public archive: which files it has, and how they come onto this machine."""
