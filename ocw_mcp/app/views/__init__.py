"""Views of an installation and of a whole book; the views of single tables of a book are in `adapters/store/views`."""
