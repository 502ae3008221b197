"""The exchange's public archive: plans which of its files to fetch, and fetches them."""
