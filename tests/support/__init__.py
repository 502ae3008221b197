"""Hand-written stand-ins and small builders for tests."""
