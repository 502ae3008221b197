"""Programs of the maintainers: they generate files of this repository, and measure recordings. Not in the wheel."""
