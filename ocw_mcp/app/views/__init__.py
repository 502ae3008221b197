"""Looks at an installation and at a book as a whole; what the store tells of it is in `adapters/store/views`."""
