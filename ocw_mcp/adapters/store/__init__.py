"""The journal of a book, and what is kept beside it."""
