"""The other side of the wire, on this machine: counterparties for tests, and for people who try OCW without a key."""
