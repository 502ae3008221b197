"""What a book's store tells, one module a view: queries in, typed rows out. The text for people is made elsewhere."""
