"""What a book has learned, and whether it helps: outcomes of a journal, and the strategy with and without learning."""
