"""Views of a book's store, one module per view: queries in, typed rows out; text for people is made elsewhere."""
