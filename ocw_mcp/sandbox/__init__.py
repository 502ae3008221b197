"""Local counterparties for tests and for users who try OCW without an API key."""
