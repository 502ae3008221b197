"""The store of a book: its journal, the state directory around it, and views of both."""
