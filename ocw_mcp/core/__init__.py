"""Pure packages without input, output or clock. They import `domain`, and not each other."""
